"""A client that a public generator makes of `/openapi.json` uploads, follows and reads a result, untouched.

`python -m tests.proofs.generated_client --server URL VIDEO [-o FILE]` against a running service. The generator,
openapi-python-client, is installed into a virtual environment of its own (`--python` names one that has it).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

GENERATOR = "openapi-python-client"
USE = Path(__file__).with_name("generated_client_use.py")


def environment(folder: Path) -> Path:
    """The interpreter of a new virtual environment with the generator, which brings httpx and attrs."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", GENERATOR], check=True)
    return python


def generate(python: Path, document: Path, package: Path) -> list[str]:
    """Write the client's package; returns what the generator warns of."""
    command = [str(python.with_name(GENERATOR)), "generate", "--path", str(document)]
    done = subprocess.run(
        [*command, "--output-path", str(package), "--meta", "none"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line.startswith(("WARNING", "ERROR")) and "ruff" not in line]


def use(python: Path, folder: Path, package: str, server: str, video: Path) -> dict[str, Any]:
    """Run the script that knows only the generated package."""
    command = [str(python), str(USE), package, server, str(video)]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Generate, use, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("--python", type=Path)
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("tests/proofs/results/generated_client.json")
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = arguments.python or environment(folder / "venv")
        document = folder / "openapi.json"
        with urllib.request.urlopen(f"{arguments.server}/openapi.json") as answer:
            document.write_bytes(answer.read())
        warnings = generate(python, document, folder / "generated")
        found = use(python, folder, "generated", arguments.server, arguments.video)
    result = {"generator": GENERATOR, **found, "warnings": warnings}
    print(json.dumps(result, indent=2))
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

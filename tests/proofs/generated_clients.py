"""Clients generated from `/openapi.json` by public generators upload, follow and read a result, without changes.

`python -m tests.proofs.generated_clients --server URL VIDEO [-o FILE]` against a running service that needs no
keys. The generators: openapi-python-client, @hey-api/openapi-ts, orval, openapi-typescript with openapi-fetch,
swagger-typescript-api and, where Java is, openapi-generator. The document is also linted by redocly and spectral.
`--folder` keeps the installed generators for later runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).with_name("generated")
PYTHON_GENERATOR = "openapi-python-client"
TYPESCRIPT = {
    "@hey-api/openapi-ts": "use_hey_api",
    "orval": "use_orval",
    "openapi-typescript + openapi-fetch": "use_openapi_fetch",
    "swagger-typescript-api": "use_swagger_typescript_api",
}
JAVA_GENERATOR = "openapi-generator-cli"
BY_JAVA = "use_openapi_generator"
LINTERS = {
    "redocly": ["redocly", "lint", "openapi.json", "--format=json"],
    "spectral": ["spectral", "lint", "openapi.json", "--format=json", "--fail-severity=error", "--quiet"],
}


def run(command: list[str], folder: Path) -> str:
    """The output of a command; exits if the command fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def python_of(folder: Path) -> Path:
    """The Python of a virtual environment with the generators of PyPI."""
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        run([sys.executable, "-m", "venv", str(folder / "venv")], folder)
        run([str(python), "-m", "pip", "install", "-q", PYTHON_GENERATOR, JAVA_GENERATOR], folder)
    return python


def generate_by_java(folder: Path) -> bool:
    """Generate a TypeScript client with openapi-generator; False without Java."""
    if shutil.which("java") is None:
        (folder / f"{BY_JAVA}.ts").unlink()
        return False
    python_of(folder)
    (jar,) = (folder / "venv").rglob("openapi-generator.jar")
    words = ["generate", "-i", "openapi.json", "-g", "typescript-fetch", "-o", "out/openapi_generator"]
    run(["java", "-jar", str(jar), *words], folder)
    return True


def by_python(folder: Path, server: str, video: Path) -> dict[str, Any]:
    """Generate and use a Python client in a new virtual environment."""
    python = python_of(folder)
    package = folder / "generated"
    shutil.rmtree(package, ignore_errors=True)
    words = ["generate", "--path", "openapi.json", "--meta", "none", "--output-path", str(package)]
    done = subprocess.run(
        [str(python.with_name(PYTHON_GENERATOR)), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (done.stdout + done.stderr).splitlines()
    warnings = [line for line in lines if line.startswith(("WARNING", "ERROR")) and "ruff" not in line]
    command = [str(python), "use_openapi_python_client.py", "generated", server, str(video)]
    return {**json.loads(run(command, folder)), "warnings": warnings}


def by_typescript(folder: Path, server: str, video: Path) -> dict[str, Any]:
    """Generate, compile strictly and use every TypeScript client."""
    if not (folder / "node_modules").exists():
        run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
    shutil.rmtree(folder / "out", ignore_errors=True)
    run(["node", "generate.mjs", server], folder)
    programs = dict(TYPESCRIPT)
    if generate_by_java(folder):
        programs["openapi-generator (typescript-fetch)"] = BY_JAVA
    run(["node_modules/.bin/tsc", "--project", "tsconfig.json"], folder)
    found = {}
    for generator, program in programs.items():
        bundle = f"{program}.mjs"
        words = ["--bundle", "--platform=node", "--format=esm", "--log-level=error", f"--outfile={bundle}"]
        run(["node_modules/.bin/esbuild", f"{program}.ts", *words], folder)
        found[generator] = json.loads(run(["node", bundle, server, str(video)], folder))
    return found


def lint(folder: Path) -> dict[str, int]:
    """The findings of the linters, including warnings."""
    (folder / ".spectral.yaml").write_text('extends: ["spectral:oas"]\n', encoding="utf-8")
    found = {}
    for name, (program, *words) in LINTERS.items():
        done = subprocess.run(
            [f"node_modules/.bin/{program}", *words], cwd=folder, capture_output=True, text=True, check=False
        )
        report = done.stdout[min(done.stdout.find(mark) for mark in "[{" if mark in done.stdout) :]
        answer = json.loads(report[: max(report.rfind("]"), report.rfind("}")) + 1])
        found[name] = len(answer["problems"] if isinstance(answer, dict) else answer)
    return found


def main() -> None:
    """Generate, use, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("--folder", type=Path)
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("tests/proofs/results/generated_clients.json")
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        shutil.copytree(PROGRAMS, folder, dirs_exist_ok=True)
        with urllib.request.urlopen(f"{arguments.server}/openapi.json") as answer:
            (folder / "openapi.json").write_bytes(answer.read())
        video = arguments.video.resolve()
        used = by_typescript(folder, arguments.server, video)
        used[PYTHON_GENERATOR] = by_python(folder, arguments.server, video)
        result = {"clients": used, "lint": lint(folder)}
    print(json.dumps(result, indent=2))
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if any(result["lint"].values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

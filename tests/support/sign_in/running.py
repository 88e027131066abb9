"""Runs the provider, if Node and the npm package are available."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers import free_port
from tests.support.services import PATIENCE, wait_for

HERE = Path(__file__).parent
SECRET = "a secret: with + signs & more"
INSTALL_SECONDS = 200


class NotAvailableError(Exception):
    """The reason why the provider cannot run."""


@dataclass(frozen=True)
class RunningProvider:
    """A running provider. `service_port` is the port of the registered redirect addresses."""

    issuer: str
    service_port: int


def install(folder: Path) -> Path:
    """Install the provider in `folder`; raises `NotAvailableError`."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NotAvailableError("Node is not installed")
    for name in ("package.json", "package-lock.json", "provider.mjs"):
        shutil.copy(HERE / name, folder / name)
    try:
        done = subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise NotAvailableError("npm did not deliver the packages in time") from error
    if done.returncode:
        raise NotAvailableError(f"npm ci failed: {done.stderr.strip()[-200:]}")
    return folder


@contextmanager
def provider(
    folder: Path, people: Mapping[str, object], roots: tuple[str, ...] = ("",), pages: tuple[str, ...] = ()
) -> Iterator[RunningProvider]:
    """Run the provider for a service on its own port.

    Args:
        folder: Where it is installed.
        people: The claims of the users, by login.
        roots: Paths under which the service is published.
        pages: Further addresses of its page, such as those behind a proxy.
    """
    port, service_port = free_port(), free_port()
    back = [*(f"http://127.0.0.1:{service_port}{root}/" for root in roots), *pages]
    given = {
        "port": port,
        "callback": [f"{page}signin/callback" for page in back],
        "back": back,
        "backchannel": f"http://127.0.0.1:{service_port}/signin/backchannel",
        "people": people,
    }
    (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
    log = folder / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["node", "provider.mjs", "given.json"], cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: "listening" in log.read_text(encoding="utf-8") or process.poll() is not None)
        if process.poll() is not None:
            raise NotAvailableError(f"the provider does not start: {log.read_text(encoding='utf-8')[-300:]}")
        yield RunningProvider(f"http://localhost:{port}", service_port)
    finally:
        process.terminate()
        process.wait(PATIENCE)

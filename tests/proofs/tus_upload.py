"""A public tus client uploads 200 MB; it is killed twice and the server once. One job must have the right bytes.

    python -m tests.proofs.tus_upload --client FOLDER [--megabytes 200] [--out tests/proofs/results/tus_upload.json]

FOLDER is the folder in which `npm install tus-js-client` was run (4.3 or later; node 18 or later).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.service.running import RunningService, kill
from tests.support.media import make_clip
from tests.support.servers import free_port
from tests.support.services import wait_for

CLIENT = Path(__file__).with_name("tus_client.mjs")
CHUNK = 8 << 20
SERVER_SHARE, CLIENT_SHARES = 0.45, (0.2, 0.7)


def make_video(path: Path, size: int) -> None:
    """A clip that decodes, padded by a `free` box (ISO 14496-12, 8.1.2) of noise up to `size` bytes."""
    make_clip(path, seconds=4.0, audio="aac", beeps=((1.0, 2.0),))
    left = size - path.stat().st_size
    noise = random.Random(7)
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", left, b"free"))
        for start in range(8, left, 1 << 20):
            file.write(noise.randbytes(min(1 << 20, left - start)))


class Client:
    """One run of the client at a time; its state file lets the next run resume the upload."""

    def __init__(self, folder: Path, url: str, video: Path, state: Path) -> None:
        self._command = ["node", str(CLIENT), url, str(video), str(state), str(CHUNK)]
        self._folder = folder
        self._log = state.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def wait(self, seconds: float) -> str:
        """The job's path, once the upload is done."""
        assert self._process is not None
        code = self._process.wait(seconds)
        text = self._log.read_text(encoding="utf-8")
        assert code == 0, text[-2000:]
        return next(line.split()[1] for line in reversed(text.splitlines()) if line.startswith("job "))


def stored_bytes(service: RunningService) -> int:
    """Stored bytes of the unfinished upload."""
    return sum(path.stat().st_size for path in (service.data / "incoming").glob("*"))


def start(service: RunningService, port: int) -> None:
    service.launch("--port", str(port))
    wait_for(lambda: "Sentiloc is ready" in service.output, 400)
    service.client.base_url = service.url


def measure(client_folder: Path, folder: Path, size: int) -> dict[str, Any]:
    """Run the whole scenario; returns one row."""
    video, port = folder / "video.mp4", free_port()
    make_video(video, size)
    service = RunningService(folder / "serve", max_upload_bytes=2 * size, upload_idle_seconds=30)
    (folder / "serve").mkdir()
    try:
        start(service, port)
        client = Client(client_folder, service.url, video, folder / "state.json")
        began = time.monotonic()
        at: list[int] = []

        def reach(share: float, act: Callable[[], None]) -> None:
            wait_for(lambda: stored_bytes(service) >= share * size, 300)
            act()
            at.append(stored_bytes(service))

        client.start()
        reach(CLIENT_SHARES[0], client.kill)
        client.start()
        reach(SERVER_SHARE, lambda: restart(service, port))
        reach(CLIENT_SHARES[1], client.kill)
        client.start()
        path = client.wait(600)
        uploaded = time.monotonic() - began
        job = service.wait_ended(path.rpartition("/")[2], 300)
        jobs = service.client.get("/jobs").json()["jobs"]
        right = hashlib.sha256(service.client.get(f"{path}/video").content).hexdigest()
        return {
            "bytes": size,
            "chunk_bytes": CHUNK,
            "client_killed_at_bytes": [at[0], at[2]],
            "server_killed_at_bytes": at[1],
            "upload_seconds": round(uploaded, 1),
            "jobs": len(jobs),
            "state": job["state"],
            "bytes_are_right": right == hashlib.sha256(video.read_bytes()).hexdigest(),
            "client": client_version(client_folder),
        }
    finally:
        service.stop()


def restart(service: RunningService, port: int) -> None:
    """Kill the whole service with SIGKILL, and restart it on the same address."""
    parts = [service.process(name) for name in ("API", "worker", "redis")]
    os.kill(service.pid, signal.SIGKILL)
    for part in parts:
        try:
            kill(part)
        except ProcessLookupError:
            continue
    start(service, port)


def client_version(folder: Path) -> str:
    package = json.loads(
        (folder / "node_modules" / "tus-js-client" / "package.json").read_text(encoding="utf-8")
    )
    return f"tus-js-client {package['version']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("tests/proofs/results/tus_upload.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = measure(options.client.resolve(), Path(folder), options.megabytes * 10**6)
    options.out.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(row, indent=2))
    assert row["jobs"] == 1
    assert row["bytes_are_right"]
    assert row["state"] == "succeeded"


if __name__ == "__main__":
    main()

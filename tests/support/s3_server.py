"""An S3 server of the test's own: moto's, over real HTTP on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sentiloc.app.settings import Settings

BUCKET = "sentiloc-test"


@contextmanager
def s3_server() -> Iterator[str]:
    """Its address; skips where the server or the client is not installed."""
    server_module = pytest.importorskip("moto.server", reason="needs moto[server]")
    boto3 = pytest.importorskip("boto3", reason="needs boto3")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        server.start()
        try:
            host, port = server.get_host_and_port()
            url = f"http://{host}:{port}"
            boto3.client("s3", endpoint_url=url, region_name="us-east-1").create_bucket(Bucket=BUCKET)
            yield url
        finally:
            server.stop()


def s3_settings(url: str, folder: Path) -> Settings:
    return Settings(data_dir=folder, storage_url=f"s3://{BUCKET}/a/{folder.name}", storage_endpoint=url)

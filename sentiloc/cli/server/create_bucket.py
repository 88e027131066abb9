"""`sentiloc create-bucket`: creates the bucket of SENTILOC_STORAGE_URL."""

from __future__ import annotations

import typer

from sentiloc.app.settings import get_settings
from sentiloc.app.storage.factory import make_storage
from sentiloc.cli.options import override
from sentiloc.model.errors import ErrorCode, SentilocError


def create_bucket() -> None:
    """Create the bucket of SENTILOC_STORAGE_URL. Do nothing if it exists."""
    override()
    settings = get_settings()
    if settings.storage_url is None:
        raise SentilocError(
            ErrorCode.INVALID_DATA, "SENTILOC_STORAGE_URL is not set; set it to s3://bucket/prefix"
        )
    storage = make_storage(settings)
    # Imported late: boto3 is optional, and `make_storage` says how to install it.
    from sentiloc.app.storage.s3 import S3Storage

    # For the type checker: with a storage URL there is no other kind.
    assert isinstance(storage, S3Storage)  # noqa: S101
    made = storage.create_bucket()
    typer.echo(f"{settings.storage_url}: {'created' if made else 'already exists'}")

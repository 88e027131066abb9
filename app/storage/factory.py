"""Creates the storage that the settings select."""

from __future__ import annotations

from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.local import LocalStorage
from sentiloc.model.errors import ErrorCode, SentilocError


def make_storage(settings: Settings) -> Storage:
    """The data folder, or the object store of `storage_url`; raises `invalid_data` if its client is not installed."""
    if settings.storage_url is None:
        return LocalStorage(settings.data_dir, settings.upload_reserve_bytes)
    try:
        # Imported late, because boto3 is optional and slow to import.
        from sentiloc.app.storage.s3 import S3Storage
    except ImportError as error:
        detail = "SENTILOC_STORAGE_URL needs the object store's client. Run in Sentiloc's folder: pip install '.[s3]'"
        raise SentilocError(ErrorCode.INVALID_DATA, detail) from error
    return S3Storage(settings)

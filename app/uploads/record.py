"""The record of a resumable upload as stored in Redis: everything except its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from sentiloc.app.storage.keys import incoming_key, source_key


def upload_key(prefix: str, upload_id: str) -> str:
    """The Redis key of an upload's record."""
    return f"{prefix}upload:{upload_id}"


class UploadState(StrEnum):
    """`open` takes bytes, `complete` waits for its job, `used` has a job, `gone` was ended or has expired."""

    OPEN = "open"
    COMPLETE = "complete"
    USED = "used"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRecord:
    """One upload. Its id becomes the id of its job, so it has one job at most. Times are Unix seconds.

    `length` is None until the client states it. `options` (JSON) is set if the job is to be created automatically.
    `verified` is the offset up to which the bytes are checked, while a chunk with a checksum arrives.
    The bytes of a `presigned` upload go directly to the object store.
    """

    id: str
    state: UploadState
    key_id: str | None
    name: str
    metadata: str
    length: int | None
    options: str | None
    created_at: float
    expires_at: float
    verified: int | None = None
    presigned: bool = False

    @property
    def source_key(self) -> str:
        """The storage key of the complete upload."""
        return source_key(self.id)

    @property
    def incoming_key(self) -> str:
        """The storage key that a presigned form writes to.

        A form can be used repeatedly, so no job reads from this key.
        """
        return incoming_key(self.id)


def write_fields(record: UploadRecord) -> dict[str, str]:
    """The record as a Redis hash, without the fields that are None."""
    fields = {**asdict(record), "presigned": "1" if record.presigned else None}
    return {name: str(value) for name, value in fields.items() if value is not None}


def read_fields(fields: Mapping[str, str]) -> UploadRecord:
    """The record of a hash that `write_fields` made."""
    return UploadRecord(
        id=fields["id"],
        state=UploadState(fields["state"]),
        key_id=fields.get("key_id"),
        name=fields["name"],
        metadata=fields["metadata"],
        length=_number(fields, "length"),
        options=fields.get("options"),
        created_at=float(fields["created_at"]),
        expires_at=float(fields["expires_at"]),
        verified=_number(fields, "verified"),
        presigned="presigned" in fields,
    )


def _number(fields: Mapping[str, str], name: str) -> int | None:
    return int(fields[name]) if name in fields else None

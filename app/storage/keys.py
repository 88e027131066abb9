"""The keys of stored files: which file belongs to which job or upload."""

from __future__ import annotations

import re

# Keys come from ids, but a second check here keeps a mistake elsewhere from leaving the folder.
_KEY = re.compile(r"(uploads|results)/[A-Za-z0-9_-]{8,64}(\.[a-z0-9]{1,8}){0,3}")
# Only these files are swept: whoever chooses the data folder may keep other files in folders of these names.
_OWN = re.compile(
    r"uploads/[A-Za-z0-9_-]{8,64}\.(?:src|incoming)"
    r"|results/[A-Za-z0-9_-]{8,64}(?:\.\d+){1,2}\.(?:partial\.json|json|jpg|mp4)"
)


def source_key(job_id: str) -> str:
    """The key of a job's video. It is derived from the id, so that the sweep finds videos without a job."""
    return f"uploads/{job_id}.src"


# Need not exist: asking for its size shows whether the storage answers.
PROBE = source_key("availability-probe")


def incoming_key(upload_id: str) -> str:
    """The key that a client with a presigned form writes to. The video is moved from there before it gets a job."""
    return f"uploads/{upload_id}.incoming"


def source_owner(key: str) -> str | None:
    """The job or upload id in a key made by `source_key` or `incoming_key`; None for any other key."""
    found = re.fullmatch(r"uploads/([A-Za-z0-9_-]+)\.(?:src|incoming)", key)
    return found and found[1]


def is_incoming(key: str) -> bool:
    """True for a key made by `incoming_key`."""
    return key.endswith(".incoming")


def result_key(job_id: str, attempt: int) -> str:
    """The key of the result of one attempt. Each attempt has its own, so a late attempt overwrites nothing."""
    return f"results/{job_id}.{attempt}.json"


def thumbnail_key(job_id: str, attempt: int, index: int) -> str:
    """The key of the picture of a result's segment."""
    return f"results/{job_id}.{attempt}.{index}.jpg"


def reel_key(job_id: str, attempt: int) -> str:
    """The key of the reel that one attempt has rendered."""
    return f"results/{job_id}.{attempt}.mp4"


def partial_key(job_id: str, attempt: int) -> str:
    """The key of what a running attempt has found so far."""
    return f"results/{job_id}.{attempt}.partial.json"


def is_key(text: str) -> bool:
    """Whether a text has the form of a key."""
    return _KEY.fullmatch(text) is not None


def check_key(key: str) -> None:
    """Raise `ValueError` for a key that could refer to a file outside the storage."""
    if not is_key(key):
        raise ValueError(f"not a storage key: {key!r}")


def is_own_key(key: str) -> bool:
    """Whether a file has a name that Sentiloc gives."""
    return _OWN.fullmatch(key) is not None

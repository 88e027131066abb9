"""Links that show one finished job to anyone who has them, until they expire or are withdrawn.

A token contains the job's id and the expiry time, and is signed with a random key of that job. The key is in the job's
record. Withdrawing the links of a job, or deleting the job, deletes the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from typing import cast

from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import JobStore

_FIELD = "share_key"
# 16 bytes of the MAC are enough, because it can only be guessed through this server.
_KEY_BYTES, _MAC_BYTES = 32, 16


def share(store: JobStore, job_id: str, until: int) -> str | None:
    """A new token for a job, valid until `until` (Unix seconds); None if the job was deleted."""
    # A script: writing to the record of a deleted job would create a record that nobody deletes.
    key = str(store.run("share", job_id, secrets.token_hex(_KEY_BYTES)))
    if not key:
        return None
    text = f"{job_id}.{until}"
    return base64.urlsafe_b64encode(f"{text}.{_mac(key, text)}".encode()).decode().rstrip("=")


def withdraw(store: JobStore, job_id: str) -> None:
    """Invalidate all links of a job at once."""
    store.redis.hdel(job_key(store.prefix, job_id), _FIELD)


def find_shared(store: JobStore, token: str) -> tuple[JobRecord, int] | None:
    """The job of a valid token, and its expiry time; None for any other token."""
    job_id, _, rest = _decode(token).partition(".")
    until, _, mac = rest.partition(".")
    if not job_id or not until.isdigit() or int(until) <= time.time():
        return None
    key = cast("str | None", store.redis.hget(job_key(store.prefix, job_id), _FIELD))
    # Do the same work without a key, so that timing does not reveal which jobs are shared.
    is_right = hmac.compare_digest(_mac(key or "", f"{job_id}.{until}"), mac)
    record = store.get(job_id) if key and is_right else None
    return None if record is None else (record, int(until))


def _mac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[: 2 * _MAC_BYTES]


def _decode(token: str) -> str:
    try:
        padded = token + "=" * (-len(token) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        return ""

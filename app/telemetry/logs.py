"""Logging for every process: one line per event, as text or JSON, with the ids of its job and request, if any."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from contextvars import ContextVar

from sentiloc.app.settings import Settings

job_id_context: ContextVar[str | None] = ContextVar("job_id", default=None)
# The values of a query, and the token after /shared/ and /embed/. No name reaches over a later `?`, so that the work
# grows only with the text's length.
_VALUES = re.compile(r"(?<=[?&])([^=&?]*=)[^&]+")
_TOKEN = re.compile(r"(/(?:shared|embed)/)[^/?]+")
# An API key but for its id, and a webhook's secret.
_KEYS = re.compile(r"(?<=sentiloc_)([0-9a-z]{12}_)[\w-]+|(?<=whsec_)()[\w+/=-]+")
# What may be the login in a URL; with `@` it is one. Matched whole, so that the work grows only with the text's length.
_LOGIN = re.compile(r"://[^\s/@\"':]*:[^\s@\"']*@?")
# Line breaks that JSON allows in texts, and control characters of terminals.
_CONTROLS = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}
request_id_context: ContextVar[str | None] = ContextVar("request_id", default=None)


class _Formatter(logging.Formatter):
    def _fields(self, record: logging.LogRecord) -> dict[str, str]:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        job_id = job_id_context.get()
        if job_id is not None:
            fields["job"] = job_id
        request_id = request_id_context.get()
        if request_id is not None:
            fields["request"] = request_id
        fields["message"] = without_keys(record.getMessage())
        if record.exc_info:
            fields["traceback"] = without_keys(self.formatException(record.exc_info))
        return fields


class TextFormatter(_Formatter):
    """`time=… level=… logger=… job=… message="…"`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line; a traceback follows on its own lines, which are indented."""
        fields = self._fields(record)
        traceback = fields.pop("traceback", None)
        # Quoted, so that a line break in a message cannot forge a second log line.
        fields["message"] = json.dumps(fields["message"], ensure_ascii=False).translate(_CONTROLS)
        line = " ".join(f"{key}={value}" for key, value in fields.items())
        # Indented, so that a line break in an error's text cannot forge one either.
        return "\n  ".join([line, *(traceback or "").splitlines()])


class JsonFormatter(_Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON, in ASCII: valid whatever the encoding of stderr is."""
        return json.dumps(self._fields(record))


def _hide_secrets(record: logging.LogRecord) -> bool:
    """Remove secrets from the path in a line of the access log; every line is kept.

    A query may hold a one-time code of a sign-in, the path of a shared job its token.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(without_secrets(one) if isinstance(one, str) else one for one in record.args)
    return True


def without_secrets(text: str) -> str:
    """A path as logs show it: without the values of its query, and without the token of a shared link."""
    return _VALUES.sub(r"\1…", _TOKEN.sub(r"\1…", text))


def without_keys(text: str) -> str:
    """A text without API keys, secrets of webhooks and logins in URLs, which somebody may put anywhere."""
    # Nearly all lines have none of the marks, and looking for them costs much less.
    if "sentiloc_" not in text and "whsec_" not in text and "@" not in text:
        return text
    without = _KEYS.sub(lambda found: f"{found[1] or ''}…", text)
    return _LOGIN.sub(lambda found: "://…@" if found[0].endswith("@") else found[0], without)


def configure_logging(settings: Settings) -> None:
    """Send all log records to stderr in the configured format. Call it once per process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("uvicorn", "uvicorn.access", "uvicorn.error", "celery"):
        logging.getLogger(name).handlers.clear()
        # These libraries install their own handlers; all lines must have one format.
        logging.getLogger(name).propagate = True
    access = logging.getLogger("uvicorn.access")
    if _hide_secrets not in access.filters:
        access.addFilter(_hide_secrets)
    # At the level `debug` some of these would log signatures and addresses with secrets.
    for name in (
        *("kombu", "amqp", "httpx", "httpcore", "python_multipart", "celery.worker.strategy"),
        *("botocore", "boto3", "s3transfer", "urllib3", "authlib"),
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    # A job that is put back into the queue is not an error, but Celery logs it with a traceback.
    logging.getLogger("celery.app.trace").setLevel(logging.ERROR)

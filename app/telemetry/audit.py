"""The audit log: who did what, and when, as JSON lines. It contains ids but no content: no names, options or results.

The file is reopened after it was moved, so that `logrotate` and similar tools work. Lines are short and appended, so
several processes may write to one file.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
import time
from pathlib import Path

from sentiloc.model.errors import ErrorCode, SentilocError

logger = logging.getLogger(__name__)


class _AuditFile(logging.handlers.WatchedFileHandler):
    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; never fails, as no request may fail for it."""
        try:
            super().emit(record)
        # Where the moved file cannot be made again.
        except OSError:
            self.handleError(record)

    def handleError(self, _: logging.LogRecord) -> None:  # noqa: N802
        """Say in the service's log that a line could not be written. The standard prints a traceback on stderr."""
        logger.error("a line of the audit log %s cannot be written: %s", self.baseFilename, sys.exc_info()[1])


class AuditLog:
    """Appends to a file; without a path it does nothing. Raises `invalid_data` for a file that cannot be written."""

    def __init__(self, path: Path | None) -> None:
        self._logger: logging.Logger | None = None
        if path is not None:
            # Not from getLogger: its lines must not reach the service's log.
            self._logger = logging.Logger(f"audit {path}", logging.INFO)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._logger.addHandler(_AuditFile(path, encoding="utf-8"))
            except OSError as error:
                detail = f"SENTILOC_AUDIT_LOG: {path} cannot be written: {error.strerror}"
                raise SentilocError(ErrorCode.INVALID_DATA, detail) from error

    def write(self, who: str, what: str, **about: str | int | None) -> None:
        """Append one line.

        Args:
            who: `key:ID`, `anyone` on a server without keys, `operator:USER` at the command line, or a part of the
                service, such as `retention`.
            what: the action, such as `DELETE /v1/jobs/{job_id}`.
            about: ids and numbers; None is left out.
        """
        if self._logger is None:
            return
        now = time.time()
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
        found = {name: value for name, value in about.items() if value is not None}
        self._logger.info("%s", json.dumps({"at": at, "who": who, "what": what, **found}))

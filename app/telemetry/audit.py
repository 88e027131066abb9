"""The audit log: who did what, and when, as JSON lines. It contains ids but no content: no names, options or results.

The file is reopened after it was moved, so that `logrotate` and similar tools work. Lines are short and appended, so
several processes may write to one file.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import time
from pathlib import Path


class AuditLog:
    """Appends to a file; without a path it does nothing."""

    def __init__(self, path: Path | None) -> None:
        self._logger: logging.Logger | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not from getLogger: its lines must not reach the service's log.
            self._logger = logging.Logger(f"audit {path}", logging.INFO)
            self._logger.addHandler(logging.handlers.WatchedFileHandler(path, encoding="utf-8", delay=True))

    def write(self, who: str, what: str, **about: str | int | None) -> None:
        """Append one line.

        Args:
            who: `key:ID`, `anyone` on a server without keys, `operator:USER` at the command line, or a part of the
                service, such as `retention`.
            what: the action, such as `DELETE /v1/jobs/{job_id}`.
            about: ids and figures; None is left out.
        """
        if self._logger is None:
            return
        now = time.time()
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
        found = {name: value for name, value in about.items() if value is not None}
        self._logger.info("%s", json.dumps({"at": at, "who": who, "what": what, **found}, ensure_ascii=False))

"""Log lines can be read by people and by machines, and name the job."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from typing import Literal

import pytest

from sentiloc.app.http.handlers import unexpected_response
from sentiloc.app.settings import Settings
from sentiloc.app.telemetry.logs import configure_logging, job_id_context, without_keys, without_secrets


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root, access = logging.getLogger(), logging.getLogger("uvicorn.access")
    before = (root.handlers[:], root.level)
    access_before = (access.handlers[:], access.level, access.propagate)
    # Another test may have run a server with uvicorn's own logging.
    access.handlers[:], access.level, access.propagate = [], logging.NOTSET, True
    yield
    root.handlers[:], root.level = before
    access.handlers[:], access.level, access.propagate = access_before
    job_id_context.set(None)


def log_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    job_id_context.set("j0b")
    logging.getLogger("some.part").warning('it "broke" at %d', 7)
    try:
        raise ValueError("cause")
    except ValueError:
        logging.getLogger("some.part").exception("worse")
    return capsys.readouterr().err.splitlines()


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="text"))
    first, *rest = log_lines(capsys)
    assert first.endswith(' level=warning logger=some.part job=j0b message="it \\"broke\\" at 7"')
    assert rest[-1] == "  ValueError: cause"


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"))
    first, second = (json.loads(line) for line in log_lines(capsys))
    assert (first["job"], first["level"], first["message"]) == ("j0b", "warning", 'it "broke" at 7')
    assert "ValueError: cause" in second["traceback"]


def test_the_level_is_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_level="error"))
    assert all("it" not in line for line in log_lines(capsys)[:1])


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/signin/callback?code=s3cret/1&state=s3cret", "/signin/callback?code=…&state=…"),
        ("/v1/shared/s3cret/video?x=s3cret%20y", "/v1/shared/…/video?x=…"),
        ("/embed/s3cret", "/embed/…"),
        ("/jobs/abc/result", "/jobs/abc/result"),
    ],
)
def test_the_access_log_has_no_secrets(capsys: pytest.CaptureFixture[str], path: str, shown: str) -> None:
    """The line is that of uvicorn at the level `debug`."""
    configure_logging(Settings(log_level="debug", log_format="json"))
    configure_logging(Settings(log_level="debug", log_format="json"))
    line = '%s - "%s %s HTTP/%s" %d'
    logging.getLogger("uvicorn.access").info(line, "127.0.0.1:5", "GET", path, "1.1", 200)
    (written,) = capsys.readouterr().err.splitlines()
    assert json.loads(written)["message"] == f'127.0.0.1:5 - "GET {shown} HTTP/1.1" 200'


def test_an_unexpected_error_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    unexpected_response("GET", "/shared/s3cret/video", RuntimeError("a bug"))
    assert caplog.messages == ["unexpected error at GET /shared/…/video"]


KEY = "sentiloc_3f9a1c07be52_" + 43 * "s"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_that_somebody_puts_anywhere_are_not_logged(
    capsys: pytest.CaptureFixture[str], log_format: Literal["text", "json"]
) -> None:
    configure_logging(Settings(log_format=log_format, log_level="debug"))
    logging.getLogger("uvicorn.access").info('%s - "%s %s" %d', "::1", "GET", f"/v1/jobs/{KEY}", 404)
    logger = logging.getLogger("some.part")
    logger.debug("whsec_c2VjcmV0/c2VjcmV0+c2VjcmV0== and redis://user:geheim@host:1/0, %s", f"x@{KEY}")
    try:
        raise ValueError(f"{KEY} unix://:geheim@/a/socket")
    except ValueError:
        logger.exception("a@b.example")
    shown = capsys.readouterr().err
    assert not re.search(r"sss|c2V|geheim", shown)
    # What is no secret stays.
    for kept in ("3f9a1c07be52", "whsec_", "redis://", "@host:1/0", "a@b.example", "@/a/socket"):
        assert kept in shown


@pytest.mark.parametrize("part", ["://:", "://a:", ":", "?", "?a", "&a"])
def test_hiding_secrets_of_a_long_line_takes_no_time(part: str) -> None:
    """A request line may have 64 KiB of anything."""
    line, began = f"/@://{part * 20_000}", time.process_time()
    assert without_keys(line) == without_secrets(line) == line
    # Looking for an end from each place takes seconds.
    assert time.process_time() - began < 0.5


def test_a_key_behind_a_port_is_hidden_as_a_key() -> None:
    assert (
        without_keys(f"http://a:80/{KEY} http://b:c:d@e") == "http://a:80/sentiloc_3f9a1c07be52_… http://…@e"
    )


def test_no_text_forges_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    forged = "\n{'a': 1}\r\u2028time=2026 level=info logger=x\x85time=2026\x9b31m"
    for log_format in ("text", "json"):
        configure_logging(Settings(log_format=log_format))
        try:
            raise ValueError(forged)
        except ValueError:
            logging.getLogger("some.part").exception(forged)
    first, *rest = capsys.readouterr().err.splitlines()
    *traceback, last = rest
    assert "\x9b" not in first and all(line.startswith("  ") for line in traceback)
    assert json.loads(last)["message"] == forged

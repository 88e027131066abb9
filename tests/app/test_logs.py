"""Log lines can be read by people and by machines, and name the job."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from sentiloc.app.http.handlers import unexpected_response
from sentiloc.app.settings import Settings
from sentiloc.app.telemetry.logs import configure_logging, job_id_context


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
    assert rest[-1] == "ValueError: cause"


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

"""Log lines can be read by people and by machines, and name the job."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from sentiloc.app.settings import Settings
from sentiloc.app.telemetry.logs import configure_logging, job_id_context


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before
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

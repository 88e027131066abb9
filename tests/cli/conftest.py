"""The command line as a user sees it."""

from __future__ import annotations

import pytest

from sentiloc.cli.main import main
from tests.cli.extracted import Sentiloc


@pytest.fixture
def sentiloc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sentiloc:
    """The command's own entry point: exit code, standard output, standard error."""
    # A terminal of 80 columns would break a long temporary path in the middle of a message.
    monkeypatch.setenv("COLUMNS", "500")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["sentiloc", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call

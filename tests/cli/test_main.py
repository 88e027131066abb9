"""The root of the command line: commands load lazily, errors are one line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sentiloc.app.settings import get_settings
from sentiloc.cli.main import names_only_files
from sentiloc.cli.verbs import VERBS, root
from sentiloc.worker.config import configured
from tests.support.media import make_clip
from tests.support.services import PATIENCE, ROOT, sentiloc_command, sentiloc_environment


def sentiloc(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        sentiloc_command(*arguments),
        env=sentiloc_environment(**settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_help_names_every_verb_and_loads_none() -> None:
    heavy = "('fastapi', 'celery', 'torch', 'av')"
    script = f"import sys, sentiloc.cli.verbs; sys.exit(any(m in sys.modules for m in {heavy}))"
    command = [*sentiloc_command()[:2], "-c", script]
    assert subprocess.run(command, env=sentiloc_environment(), check=False).returncode == 0
    done = sentiloc("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in VERBS)


def test_localizing_loads_only_what_it_uses(tmp_path: Path) -> None:
    """PyAV is the decoder's. The rest is for options, settings, terminals, editing formats, servers and other tasks."""
    needless = (
        *(
            "av",
            "typer",
            "pydantic",
            "rich",
            "httpx",
            "opentimelineio",
            "redis",
            "fastapi",
            "celery",
            "scipy",
        ),
        *("librosa", "sentiloc.app.formats", "sentiloc.model.gim", "sentiloc.model.cten"),
    )
    video = tmp_path / "video.mp4"
    make_clip(video)
    script = (
        "import sys\n"
        "from sentiloc.cli.localizing import localize_files\n"
        f"whole = localize_files([{str(video)!r}])\n"
        f"loaded = [name for name in {needless} if name in sys.modules]\n"
        "sys.exit(f'loaded: {loaded} {whole}')"
    )
    settings = {key: value for key, value in sentiloc_environment().items() if "SENTILOC" not in key}
    command = [*sentiloc_command()[:1], "-c", script]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=600, check=False)
    assert done.stderr.splitlines()[-1] == "loaded: [] True"


def test_without_settings_the_defaults_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("SENTILOC_")]:
        monkeypatch.delenv(name)
    plain = configured()
    monkeypatch.setenv("SENTILOC_PORT", "8001")
    get_settings.cache_clear()
    try:
        assert configured() == plain
        monkeypatch.setenv("sentiloc_model", "another")
        get_settings.cache_clear()
        assert configured()[0] == "another"
    finally:
        get_settings.cache_clear()


@pytest.mark.parametrize(
    "words", [["localize"], ["localize", "none.mp4"], ["localize", "video.mp4", "--draft"]]
)
def test_whatever_needs_its_options_or_a_message_is_left_to_the_parser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    (tmp_path / "video.mp4").touch()
    monkeypatch.chdir(tmp_path)
    assert not names_only_files(words)
    assert names_only_files(["localize", "video.mp4", "video.mp4"])
    assert not names_only_files(["reel", "video.mp4"])


def test_the_version_is_shown() -> None:
    assert sentiloc("--version").stdout.startswith("sentiloc ")
    assert sentiloc("version").stdout == sentiloc("--version").stdout


@pytest.mark.parametrize(
    ("arguments", "settings", "expected"),
    [
        (["api"], {}, "SENTILOC_REDIS_URL is not set"),
        (["worker"], {}, "SENTILOC_REDIS_URL is not set"),
        (["serve"], {"port": "http"}, "SENTILOC_PORT"),
        (
            ["localize", __file__],
            {"device": "gpu"},
            "bad settings: SENTILOC_DEVICE: must be 'cpu', 'openvino'",
        ),
        (["serve", "--data-dir", "/proc/none"], {}, "data folder /proc/none cannot be used"),
        (["serve", "--host", "203.0.113.1", "--port", "0"], {}, "cannot listen on 203.0.113.1:0"),
    ],
)
def test_expected_errors_are_one_line(arguments: list[str], settings: dict[str, str], expected: str) -> None:
    done = sentiloc(*arguments, **settings)
    assert done.returncode == 1
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_standard_files_may_be_closed(tmp_path: Path) -> None:
    """Files that took their places would be lost to the process that forks decoders."""
    video, output = tmp_path / "video.mp4", tmp_path / "out.json"
    make_clip(video)
    command = sentiloc_command("localize", str(video), "-o", str(output))
    script = f'"$@" <&- >&- 2>&-; echo $? >{tmp_path}/status'
    subprocess.run(["sh", "-c", script, "sh", *command], env=sentiloc_environment(), check=True)
    assert (tmp_path / "status").read_text(encoding="utf-8") == "0\n"
    assert output.read_bytes().startswith(b"{")


def test_a_closed_standard_output_is_no_fault(tmp_path: Path) -> None:
    script = 'printf "" | "$@" >&-'
    command = ["sh", "-c", script, "sh", *sentiloc_command("localize", "-")]
    done = subprocess.run(command, env=sentiloc_environment(), stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == "sentiloc: standard input: The file is empty. (empty_file)\n"


def test_a_wrong_verb_or_option_is_explained() -> None:
    assert "serve" in sentiloc("srve").stderr
    assert sentiloc("srve").returncode == 2
    assert "--prt" in sentiloc("serve", "--prt", "1").stderr
    state, share = (
        sentiloc("status", "--state", "done").stderr,
        sentiloc("localize", "--threshold", "3").stderr,
    )
    assert "Invalid value for '--state': 'done' is not one of" in state
    assert "must be at most 1" in share


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_a_full_disk_is_named_in_plain_words(option: str) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            sentiloc_command(option),
            env=sentiloc_environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "sentiloc: a file could not be written: No space left on device\n"


def test_a_missing_library_only_breaks_its_verb(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')", encoding="utf-8"
    )
    env = sentiloc_environment()
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    command = sentiloc_command("export", "run/best.pt", "package", "--spec", "spec.json")
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "this needs torch; run this in Sentiloc's folder: pip install '.[train]'"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [("sentiloc sub", "submit"), ("sentiloc serve --da", "--data-dir"), ("sentiloc weights pu", "pull")],
)
def test_the_shell_completes_verbs_and_their_options(words: str, expected: str) -> None:
    count = len(words.split()) - 1
    env = {"_SENTILOC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    completed = CliRunner().invoke(root, [], prog_name="sentiloc", env=env)
    assert completed.stdout.split() == [expected]

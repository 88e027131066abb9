"""`sentiloc localize` on files, folders and globs, and `sentiloc doctor`: the real pipeline, no server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sentiloc.cli.verbs import root
from sentiloc.cli.videos import NewFiles, find_videos
from tests.support.media import make_clip
from tests.support.services import PATIENCE, sentiloc_command, sentiloc_environment, wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips, one of them in a subfolder, a text with a video's suffix, and a text file."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "below").mkdir()
    make_clip(folder / "b.mp4", seconds=1.0)
    make_clip(folder / "below" / "a.mp4", seconds=1.0, audio="aac")
    (folder / "c.mp4").write_text("no video", encoding="utf-8")
    (folder / "notes.txt").write_text("no video", encoding="utf-8")
    return folder


def test_names_folders_and_globs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def names(*patterns: str) -> list[str]:
        return [path.name for path in find_videos(list(patterns))]

    assert names(str(folder)) == ["b.mp4", "a.mp4", "c.mp4"]
    assert names(str(folder / "**" / "*.mp4")) == ["b.mp4", "a.mp4", "c.mp4"]
    assert names(str(folder / "c.mp4"), str(folder / "?.mp4")) == ["c.mp4", "b.mp4"]
    monkeypatch.chdir(folder)
    assert names("notes.txt", "below") == ["notes.txt", "a.mp4"]
    for nothing in ("*.mov", "none.mp4"):
        with pytest.raises(typer.BadParameter):
            find_videos([nothing])


def test_a_folder_gives_the_same_files_here_and_on_the_page(tmp_path: Path) -> None:
    script = (ROOT / "app" / "web" / "checks.js").read_text(encoding="utf-8")
    (endings,) = re.findall(r"^const CONTAINERS = /\\\.\(([a-z0-9|]+)\)\$/i;$", script, re.MULTILINE)
    names = {f"clip.{ending}" for ending in endings.split("|")}
    for name in [*names, "still.png", "notes.txt"]:
        (tmp_path / name).write_bytes(b"")
    assert {path.name for path in find_videos([str(tmp_path)])} == names
    assert {"clip.mxf", "clip.wmv", "clip.mpeg"} < names


def test_a_new_file_is_taken_when_it_is_whole_and_once(tmp_path: Path) -> None:
    files = NewFiles(tmp_path)
    video = tmp_path / "a.mp4"
    video.write_bytes(b"1")
    assert files.poll() == []
    video.write_bytes(b"12")
    assert files.poll() == []
    assert files.poll() == [video]
    assert files.poll() == []
    os.utime(video, ns=(1, 1))
    assert [files.poll(), files.poll()] == [[], [video]]
    video.unlink()
    assert files.poll() == []


def test_every_video_of_a_folder_and_one_that_fails(folder: Path) -> None:
    done = CliRunner().invoke(root, ["localize", str(folder), "--json"])
    assert done.exit_code == 1
    found = {Path(row["file"]).name: row for row in map(json.loads, done.stdout.splitlines())}
    assert found["a.mp4"]["result"]["video"]["has_audio"]
    assert found["b.mp4"]["result"]["video"]["duration"] == pytest.approx(1.0, abs=0.05)
    assert found["c.mp4"]["error"]["code"]
    assert "c.mp4: " in done.stderr


def test_formats_go_to_a_folder_or_a_file(folder: Path, tmp_path: Path) -> None:
    video, several = str(folder / "b.mp4"), [str(folder / "b.mp4"), str(folder / "below")]
    drawn = CliRunner().invoke(root, ["localize", video, "--format", "text"])
    assert drawn.stdout.startswith("b.mp4  ")
    done = CliRunner().invoke(root, ["localize", *several, "--format", "vtt", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.vtt", "b.vtt"]
    for wrong in (
        [*several, "--format", "vtt"],
        [video, "--format", "docx"],
        [],
        [video, "--watch", str(tmp_path)],
    ):
        assert CliRunner().invoke(root, ["localize", *wrong]).exit_code == 2


def _heed_interrupts() -> None:
    """Restore the handling of SIGINT, because a shell may start background processes with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_watched_folder(folder: Path, tmp_path: Path) -> None:
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    command = sentiloc_command("localize", "--watch", str(inbox), "-o", str(out))
    with subprocess.Popen(
        command, env=sentiloc_environment(), stdout=subprocess.PIPE, preexec_fn=_heed_interrupts
    ) as process:
        try:
            (inbox / "late.mp4").write_bytes((folder / "b.mp4").read_bytes())
            wait_for((out / "late.json").exists)  # it is moved there whole
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
        finally:
            process.kill()
    assert json.loads((out / "late.json").read_text(encoding="utf-8"))["video"]["width"] == 128


def test_doctor_lists_and_tries_the_installation(tmp_path: Path) -> None:
    healthy = CliRunner().invoke(root, ["doctor", "--json"], env={"SENTILOC_DATA_DIR": str(tmp_path)})
    assert healthy.exit_code == 0, healthy.output
    report = json.loads(healthy.stdout)
    found = {finding["name"]: finding for finding in report["findings"]}
    assert report["ok"]
    assert {"libraries", "device", "models", "redis", "disk", "self-test", "limits"} <= set(found)
    assert "localized in" in found["self-test"]["detail"]


@pytest.mark.parametrize(
    ("settings", "broken"),
    [
        ({"SENTILOC_MODEL": "none"}, {"device", "models"}),
        ({"SENTILOC_REDIS_URL": "redis://127.0.0.1:1/0"}, {"redis"}),
        ({"SENTILOC_DEVICE": "tensorrt"}, {"device"}),
        ({"SENTILOC_MODEL": "fsenet-i3d"}, {"models"}),
        ({"SENTILOC_DATA_DIR": f"{__file__}/data"}, {"disk"}),
    ],
)
def test_doctor_finds_faults(settings: dict[str, str], broken: set[str], tmp_path: Path) -> None:
    env = {"SENTILOC_DATA_DIR": str(tmp_path), "SENTILOC_CACHE_DIR": str(tmp_path / "empty"), **settings}
    done = CliRunner().invoke(root, ["doctor", "--json", "--skip-test"], env=env)
    assert done.exit_code == 1
    findings = json.loads(done.stdout)["findings"]
    assert {finding["name"] for finding in findings if finding["ok"] is False} == broken


def test_doctor_names_the_command_for_weights_that_a_package_lacks(tmp_path: Path) -> None:
    """A package that is not the default may lack weights without being a fault."""
    env = {"SENTILOC_DATA_DIR": str(tmp_path), "SENTILOC_CACHE_DIR": str(tmp_path / "empty")}
    done = CliRunner().invoke(root, ["doctor", "--json", "--skip-test"], env=env)
    (models,) = (f for f in json.loads(done.stdout)["findings"] if f["name"] == "models")
    assert models["ok"] and "fsenet-starter (default)" in models["detail"]
    assert "fsenet-i3d (weights are missing; run: sentiloc weights pull i3d-kinetics)" in models["detail"]

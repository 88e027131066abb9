"""`sentiloc localize`: output files, early refusals, cutting options, standard input and warnings."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from sentiloc.api import Result as Found
from sentiloc.cli.destinations import Destinations, format_of, is_folder
from sentiloc.cli.localizing import _about_nothing
from sentiloc.cli.verbs import root
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.results.cut import cut_segments
from sentiloc.model.results.result import ModelIdentity, SegmentOptions, make_curve
from sentiloc.model.results.result import Result as Document
from sentiloc.model.segments import VideoInfo
from tests.model.test_result import STEP, frame_scores
from tests.support.media import make_clip
from tests.support.services import sentiloc_command, sentiloc_environment


def localize(*arguments: str | Path) -> Result:
    return CliRunner().invoke(root, ["localize", *map(str, arguments)])


def in_one_line(done: Result) -> str:
    """The message, which is wrapped and framed for the width of the terminal."""
    return " ".join(done.output.replace("│", " ").split())


@pytest.fixture(scope="module")
def shoot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of cameras whose clips have the same names."""
    folder = tmp_path_factory.mktemp("shoot")
    for camera in ("A", "B"):
        (folder / camera).mkdir()
    make_clip(folder / "A" / "0001.mp4", seconds=1.0)
    shutil.copy(folder / "A" / "0001.mp4", folder / "B" / "0001.mp4")
    return folder


def test_equal_names_of_two_folders_mirror_the_folders(shoot: Path, tmp_path: Path) -> None:
    done = localize(shoot, "-o", tmp_path / "out", "-f", "csv")
    assert done.exit_code == 0, done.output
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.csv")}
    assert written == {"A/0001.csv", "B/0001.csv"}


def test_no_two_videos_have_one_destination(tmp_path: Path) -> None:
    names = ["A/1.mp4", "A/1.mov", "B/1.mp4", "B/below/2.mp4"]
    videos = [tmp_path / name for name in names]
    places = Destinations(tmp_path / "out", "vtt", videos)
    found = [str(places.path_for(video).relative_to(tmp_path / "out")) for video in videos]
    assert found == ["A/1.vtt", "A/1.mov.vtt", "B/1.vtt", "B/below/2.vtt"]
    apart = Destinations(tmp_path / "flat", "json", videos[2:])
    assert [apart.path_for(video).name for video in videos[2:]] == ["1.json", "2.json"]
    assert apart.path_for(videos[3]).parent == tmp_path / "flat"
    alike = Destinations(tmp_path / "alike", "json", videos[:2])
    assert [alike.path_for(video).name for video in videos[:2]] == ["1.json", "1.mov.json"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.csv", "csv"),
        ("x.XML", "fcp7"),
        ("x.fcpxml", "fcpxml"),
        ("x.json", "json"),
        ("x.edl", "edl"),
        ("x", None),
    ],
)
def test_the_suffix_of_a_file_sets_its_format(name: str, expected: str | None) -> None:
    assert format_of(Path(name)) == expected
    with pytest.raises(typer.BadParameter):
        format_of(Path("x.docx"))


def test_one_video_goes_to_a_file_by_its_ending_or_into_a_folder(shoot: Path, tmp_path: Path) -> None:
    video = shoot / "A" / "0001.mp4"
    assert localize(video, "-o", tmp_path / "x.csv", "--threshold", "0.9").exit_code == 0
    assert (tmp_path / "x.csv").read_text(encoding="utf-8").startswith("start,")
    assert localize(video, "-o", tmp_path).exit_code == 0
    assert json.loads((tmp_path / "0001.json").read_text(encoding="utf-8"))["video"]["width"] == 128
    assert localize(video, "-f", "vtt", "-o", f"{tmp_path}/new/").exit_code == 0
    assert (tmp_path / "new" / "0001.vtt").is_file()


@pytest.mark.parametrize(
    ("output", "words"), [("none/x.csv", "there is no folder"), ("x.docx", "no format ends in .docx")]
)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    shoot: Path, tmp_path: Path, output: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.cli.localizing._localize_all", lambda *_: pytest.fail("it began to work"))
    done = localize(shoot / "A" / "0001.mp4", "-o", tmp_path / output)
    assert done.exit_code == 2
    assert words in in_one_line(done)


def test_several_videos_do_not_go_to_one_file(shoot: Path, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert localize(shoot, "-o", tmp_path / "x").exit_code == 2
    for name in ("out.csv", "out.tar"):
        refused = localize(shoot, "-o", tmp_path / name)
        assert (refused.exit_code, (tmp_path / name).exists()) == (2, False)
        assert "several videos need a folder, and a name that ends in / is one" in in_one_line(refused)


def test_a_place_in_which_no_folder_can_be_created_is_refused_before_the_work(
    shoot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.cli.localizing._localize_all", lambda *_: pytest.fail("it began to work"))
    (tmp_path / "x").touch()
    below_a_file = localize(shoot, "-o", f"{tmp_path}/x/new/")
    assert (below_a_file.exit_code, "is a file; a folder is needed" in in_one_line(below_a_file)) == (2, True)
    monkeypatch.setattr("os.access", lambda *_: False)
    read_only = localize(shoot, "-o", f"{tmp_path}/new/below/")
    assert (read_only.exit_code, "no folder can be created in" in in_one_line(read_only)) == (2, True)


@pytest.mark.parametrize("output", ["A/0001.mp4", "link.mp4"])
def test_an_output_does_not_replace_a_video(tmp_path: Path, output: str) -> None:
    video = tmp_path / "A" / "0001.mp4"
    video.parent.mkdir()
    video.write_bytes(b"the only copy")
    (tmp_path / "link.mp4").symlink_to(video)
    for names in ([video], [tmp_path / "A"]):
        done = localize(*names, "-f", "csv", "-o", tmp_path / output)
        assert done.exit_code == 2
        assert "is also an input, and would be lost" in in_one_line(done)
    assert video.read_bytes() == b"the only copy"


def test_a_video_with_the_name_of_its_result_keeps_it(tmp_path: Path) -> None:
    video = tmp_path / "a.json"
    video.touch()
    assert Destinations(tmp_path, "json", [video]).path_for(video).name == "a.json.json"


@pytest.mark.parametrize("arguments", [[""], ["a.mp4", "-o", ""]])
def test_an_empty_name_is_not_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr("sentiloc.cli.localizing._localize_all", lambda *_: pytest.fail("it began to work"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").touch()
    done = localize(*arguments)
    assert (done.exit_code, "name is empty" in in_one_line(done)) == (2, True)


def test_a_name_that_ends_in_a_separator_or_dots_is_a_folder() -> None:
    assert [name for name in (None, "", "out", "out.", ".out", "..out") if is_folder(name)] == []
    assert all(map(is_folder, ("out/", "out/.", "out/..", ".", "..", "/")))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("-f", "edl", "--fps", "7"), "--fps: fps is 7"),
        (("-f", "edl", "--start-timecode", "abc"), "--start-timecode: 'abc' is not"),
        (("-f", "edl", "--fps", "25", "--drop-frame"), "--drop-frame: There is no"),
        (("--start", "5", "--end", "2"), "--end: 2 s is not"),
        (("--label", "happy"), "--label: no label happy"),
        (("--model", "nosuch"), "--model: no model package"),
    ],
)
def test_wrong_usage_is_reported_before_a_video_is_decoded(
    shoot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], named: str
) -> None:
    monkeypatch.setattr("sentiloc.cli.localizing._run", lambda *_: pytest.fail("a video was decoded"))
    monkeypatch.setattr(
        "sentiloc.cli.localizing._read_input", lambda *_: pytest.fail("standard input was read")
    )
    for video in (str(shoot / "A" / "0001.mp4"), "-"):
        done = localize(video, *options, "-o", f"{tmp_path}/new/")
        assert done.exit_code == 2
        assert f"Invalid value for {named}" in in_one_line(done)
    assert not (tmp_path / "new").exists()


class MadeUp:
    """A model and its result: the text of a video whose name ends in 2 is not Unicode."""

    warnings, segments = (), ("one",)

    def localize(self, video: Path) -> MadeUp:
        self.text = "\udcff" if video.stem.endswith("2") else "whole"
        return self

    def notes(self, *_: object, **__: object) -> list[str]:
        return []

    def to(self, *_: object, **__: object) -> str:
        return self.text


def test_an_output_that_cannot_be_written_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.load_model", lambda *_, **__: MadeUp())
    videos, out = [tmp_path / f"{number}.mp4" for number in (1, 2, 3)], tmp_path / "out"
    for video in videos:
        video.touch()
    # A folder is in the place of the first output.
    (out / "1.json").mkdir(parents=True)
    monkeypatch.setattr("sentiloc.cli.localizing._run", lambda model, video, _: model.localize(video))
    done = localize(*videos, "-o", out)
    assert done.exit_code == 1, done.exception
    assert (out / "3.json").read_text(encoding="utf-8") == "whole"
    assert not (out / "2.json").exists()
    first, second = done.stderr.splitlines()
    assert first == f"sentiloc: {videos[0]}: {out / '1.json'}: Is a directory (internal)"
    assert second.startswith(f"sentiloc: {videos[1]}: UnicodeEncodeError: ")


def test_cutting_options_are_those_of_the_result(shoot: Path) -> None:
    asked = ("--threshold", "0.25", "--min-length", "2", "--merge-gap", "1.5", "--label", "positive")
    done = localize(shoot / "A" / "0001.mp4", *asked, "--json")
    options = json.loads(done.stdout)["result"]["options"]
    assert options == {"threshold": 0.25, "min_length": 2.0, "merge_gap": 1.5, "labels": ["positive"]}


def test_an_address_is_pointed_to_submit() -> None:
    done = localize("https://example.org/a.mp4")
    assert done.exit_code == 2
    # The message is wrapped and framed for the width of the terminal.
    assert "sentiloc submit" in re.sub(r"[│\s]+", " ", done.output)
    assert CliRunner().invoke(root, ["submit", "-"]).exit_code == 2


def test_standard_input_is_read(shoot: Path) -> None:
    with (shoot / "A" / "0001.mp4").open("rb") as file:
        done = subprocess.run(
            sentiloc_command("localize", "-", "-f", "json"),
            stdin=file,
            capture_output=True,
            env=sentiloc_environment(),
            check=True,
        )
    assert json.loads(done.stdout)["video"]["duration"] == pytest.approx(1.0, abs=0.05)
    assert b"sentiloc: standard input: No face" in done.stderr
    assert b"/" not in done.stderr


def test_a_reader_that_ends_early_is_no_error_to_report(shoot: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    video = shoot / "A" / "0001.mp4"
    command = sentiloc_command("localize", str(video), str(video))
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, env=sentiloc_environment(), text=True, check=False
    )
    os.close(writing)
    assert done.returncode == 1
    # Only warnings about the video.
    assert all(str(video) in line for line in done.stderr.splitlines()), done.stderr


def test_warnings_go_to_standard_error(tmp_path: Path) -> None:
    """A truncated file, and one without sound and faces; their results are still printed."""
    whole, broken = tmp_path / "whole.mkv", tmp_path / "broken.mkv"
    make_clip(whole, seconds=6.0, codec="libx264")
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    done = localize(whole, broken, "--json")
    rows = {Path(row["file"]).name: row["result"] for row in map(json.loads, done.stdout.splitlines())}
    codes = {name: {one["code"] for one in result["warnings"]} for name, result in rows.items()}
    assert "no_sound" in codes["whole.mkv"]
    assert "truncated" in codes["broken.mkv"]
    for name, found in codes.items():
        for code in found:
            assert any(name in line and f"({code})" in line for line in done.stderr.splitlines())


def test_a_sound_track_that_is_not_there_is_named(shoot: Path, tmp_path: Path) -> None:
    video = tmp_path / "one.mp4"
    make_clip(video, seconds=1.0, audio="aac")
    done = localize(video, "--audio-track", "7", "--json")
    assert done.exit_code == 1
    assert "track" in done.stderr
    assert localize(video, "--audio-track", "1", "--json").exit_code == 0


def test_a_file_without_segments_is_explained(shoot: Path, tmp_path: Path) -> None:
    video = shoot / "A" / "0001.mp4"
    done = localize(video, "-f", "csv", "--threshold", "1")
    assert "nothing stands out" in done.stderr
    assert "nothing" not in done.stdout
    assert "nothing" not in localize(video, "-f", "json", "--threshold", "1").stderr


RAW = Calibration()


def found(*spans: tuple[int, int, float], calibration: Calibration = RAW, **options: Any) -> Found:
    """A result of 50 snippets, positive in each span (first, stop, level), cut by options."""
    positive, negative = np.full((2, 50), 0.05, np.float32)
    for first, stop, level in spans:
        positive[first:stop] = level
    asked = SegmentOptions(**{"threshold": 0.3, **options})
    curve = make_curve(frame_scores(positive, negative), STEP, (True,) * 50, {})
    document = Document(
        video=VideoInfo(duration=32.0, fps=25.0, width=64, height=36, has_audio=True),
        faces_seen=50,
        segments=cut_segments(curve, 32.0, calibration, asked),
        curve=curve,
        model=ModelIdentity(name="m", version="1", spec_hash="0" * 16, device="cpu"),
        timings={},
        options=asked,
        calibration=calibration,
    )
    return Found(document, "a.mp4")


SHORT, WEAK = (10, 15, 0.9), (18, 22, 0.5)
"""3.2 s with a confidence of 61 %, and a weaker segment soon after."""


@pytest.mark.parametrize(
    ("spans", "options", "expected"),
    [
        ([SHORT], {"min_length": 5.0}, "no segment matches --min-length 5"),
        ([SHORT], {"labels": ("negative",)}, "no segment matches --label negative"),
        (
            [SHORT],
            {"min_length": 5.0, "labels": ("negative",)},
            "no segment matches --min-length 5 --label negative",
        ),
        # At 0 the two are one segment of 44 %, which is long enough.
        (
            [SHORT, WEAK],
            {"min_length": 5.0, "merge_gap": 5.0, "threshold": 0.4},
            "no segment matches --min-length 5",
        ),
        ([], {}, "nothing stands out"),
    ],
)
def test_the_option_that_hides_all_segments_is_named(
    spans: list[tuple[int, int, float]], options: dict[str, Any], expected: str
) -> None:
    result = found(*spans, **options)
    assert (result.segments, _about_nothing(result)) == ((), expected)


@pytest.mark.parametrize(
    ("spans", "options", "advised"),
    [
        ([SHORT], {"threshold": 0.9}, "0.6"),
        ([SHORT], {"calibration": Calibration(method="platt", intercept=-3.2)}, "0.06"),
        ([SHORT], {"calibration": Calibration(method="platt", intercept=-7.0)}, "0"),
        # At 0.4, which the joined segment reaches, its better part is alone and too short.
        ([SHORT, WEAK], {"min_length": 5.0, "merge_gap": 5.0, "threshold": 0.45}, "0.2"),
    ],
)
def test_a_lower_threshold_is_advised_only_if_it_shows_something(
    spans: list[tuple[int, int, float]], options: dict[str, Any], advised: str
) -> None:
    result = found(*spans, **options)
    said = f"no segment is confident enough; --threshold {advised} shows a weaker one"
    assert (result.segments, _about_nothing(result)) == ((), said)
    assert result.recut(threshold=float(advised)).segments

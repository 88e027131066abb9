"""`sentiloc reel`: from videos to a film and cuts, with the real pipeline and without a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import av
import numpy as np
import opentimelineio as oti
import pytest
from av.video.frame import PictureType
from numpy.typing import NDArray

from docs.tools.drawn_clip import draw_clip
from sentiloc.cli.reel import _choose
from sentiloc.model.highlights.highlights import HighlightOptions
from tests.cli.extracted import Sentiloc
from tests.support.media import make_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shoot")
    draw_clip(folder / "a.mp4", 12.0)
    make_clip(folder / "b.mp4", seconds=3.0)
    return folder


def test_a_film_and_cuts_of_the_same_moments(folder: Path, tmp_path: Path, sentiloc: Sentiloc) -> None:
    film, cut, beside = tmp_path / "best.mp4", tmp_path / "best.mlt", folder / "best.xml"
    # At the threshold 0 every candidate counts.
    code, _, err = sentiloc(
        *("reel", folder, "-o", film, "-o", cut, "-o", beside),
        *("--min-confidence", 0, "--best", 3, "--crossfade", 0, "--handle", 0.4),
    )
    assert code == 0, err
    assert any(str(folder / "b.mp4") in line and "(no_sound)" in line for line in err.splitlines())
    assert " frames, encoded" in err
    frames = [
        int(entry.get("out", "")) - int(entry.get("in", "")) + 1
        for entry in ET.parse(cut).getroot().iter("entry")
    ]
    with av.open(str(film)) as container:
        assert container.streams.video[0].frames == sum(frames)
    read = oti.adapters.read_from_file(str(beside), "fcp_xml")
    assert [clip.source_range.duration.value for clip in read.video_tracks()[0]] == frames
    # Beside the videos links are relative; elsewhere they are absolute.
    assert read.video_tracks()[0][0].media_reference.target_url == "a.mp4"
    resources = [one.text for one in ET.parse(cut).getroot().findall("producer/property[@name='resource']")]
    assert resources[0] == str(folder / "a.mp4")


def test_the_list_of_moments_says_its_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moment, cut = SimpleNamespace(kind="positive", confidence=0.9), SimpleNamespace(start=0.0, end=1.0)
    found = [
        SimpleNamespace(rank=rank, moment=moment, cut=cut, footage=SimpleNamespace(name="a.mp4"))
        for rank in (2, 1)
    ]
    monkeypatch.setattr("sentiloc.model.highlights.highlights.find_highlights", lambda *_: found)
    _choose([], HighlightOptions())
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "2 moments, in the order of the film; number 1 is the best:"
    assert (second[:4], third[:4]) == ("  2.", "  1.")


@pytest.mark.parametrize("output", ["best.avi", "missing/best.mp4"])
def test_unwritable_outputs_are_refused_first(
    folder: Path, tmp_path: Path, sentiloc: Sentiloc, output: str
) -> None:
    code, _, err = sentiloc("reel", folder / "a.mp4", "-o", tmp_path / output)
    assert code == 2
    assert "--output" in err


def test_a_film_does_not_replace_a_video(tmp_path: Path, sentiloc: Sentiloc) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"the only copy")
    code, _, err = sentiloc("reel", tmp_path, "-o", tmp_path / "cut.edl", "-o", video)
    assert (code, "is also an input" in err) == (2, True)
    assert video.read_bytes() == b"the only copy"


@pytest.mark.parametrize(
    ("make", "said"),
    [(Path.mkdir, "is a folder; a file is needed"), (os.mkfifo, "is not a regular file, which a film needs")],
)
def test_a_film_needs_a_regular_file(
    folder: Path, tmp_path: Path, sentiloc: Sentiloc, make: Callable[[Path], None], said: str
) -> None:
    film = tmp_path / "best.mp4"
    make(film)
    code, _, err = sentiloc("reel", folder / "a.mp4", "-o", film)
    assert (code, said in err) == (2, True), err


@pytest.mark.parametrize(("options", "code"), [(("--model", "cten"), 2), ((), 1)])
def test_a_model_of_another_task_is_refused_before_a_video_is_decoded(
    folder: Path,
    tmp_path: Path,
    sentiloc: Sentiloc,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    code: int,
) -> None:
    emotions = SimpleNamespace(name="cten", labels=("fear", "joy"))
    monkeypatch.setattr("sentiloc.load_model", lambda *_, **__: emotions)
    monkeypatch.setattr("sentiloc.cli.reel._shown", lambda *_: pytest.fail("a video was decoded"))
    found, _, err = sentiloc("reel", folder / "a.mp4", "-o", tmp_path / "best.mp4", *options)
    assert found == code
    assert "the model cten finds no sentiment" in err
    assert ("Invalid value for --model" in err) == bool(options)


def test_no_moment_is_an_error(folder: Path, tmp_path: Path, sentiloc: Sentiloc) -> None:
    film = tmp_path / "best.mp4"
    code, _, err = sentiloc("reel", folder / "b.mp4", "-o", film)
    assert (code, film.exists()) == (1, False)
    assert "no moment" in err


def all_keyframes(source: Path, path: Path) -> Path:
    """The same video with every picture a keyframe, so that it can be cut anywhere."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        pictures, sound = old.streams.video[0], new.add_stream_from_template(old.streams.audio[0])
        video = new.add_stream("libx264", rate=pictures.average_rate, options={"g": "1"})
        video.width, video.height, video.pix_fmt = pictures.width, pictures.height, "yuv420p"
        for packet in old.demux():
            if packet.stream is not pictures:
                if packet.size:
                    packet.stream = sound
                    new.mux(packet)
                continue
            for frame in packet.decode():
                assert isinstance(frame, av.VideoFrame)
                frame.pict_type = PictureType.NONE
                new.mux(video.encode(frame))
        new.mux(video.encode(None))
    return path


def test_a_film_of_keyframes_is_copied(folder: Path, tmp_path: Path, sentiloc: Sentiloc) -> None:
    # The longest name that a file can have.
    video, film = all_keyframes(folder / "a.mp4", tmp_path / "keys.mp4"), tmp_path / f"{'b' * 251}.mp4"
    cut = tmp_path / "best.mlt"
    code, _, err = sentiloc("reel", video, "-o", film, "-o", cut, "--min-confidence", 0, "--crossfade", 0)
    assert code == 0, err
    assert "copied without encoding" in err
    entries = [
        (int(one.get("in", "")), int(one.get("out", ""))) for one in ET.parse(cut).getroot().iter("entry")
    ]
    own, made = decoded(video), decoded(film)
    wanted = [number for first, last in entries for number in range(first, last + 1)]
    assert len(made) == len(wanted)
    assert all((own[number] == picture).all() for number, picture in zip(wanted, made, strict=True))


def decoded(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]

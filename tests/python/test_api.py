"""`import sentiloc` is light until it is used; one model serves many videos; results are typed."""

from __future__ import annotations

import inspect
import json
import math
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sentiloc
from docs.tools.drawn_clip import draw_clip
from sentiloc.app.formats import FORMATS

SECONDS = 8.0
NAME = re.compile(r"\b[A-Z]\w+")
HEAVY = ("numpy", "onnxruntime", "av", "cv2", "fastapi", "celery", "torch")


@pytest.fixture(scope="module")
def model() -> sentiloc.Model:
    return sentiloc.load_model(threads=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    draw_clip(path, SECONDS)
    return path


@pytest.fixture(scope="module")
def result(model: sentiloc.Model, clip: Path) -> sentiloc.Result:
    return model.localize(clip, threshold=0.0)


def test_the_import_loads_nothing() -> None:
    script = f"import sys, sentiloc; dir(sentiloc); print([n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "start",
    [
        "import sentiloc.worker.runtime.onnx_session",
        *(f"import {package}, onnxruntime" for package in ("recipes", "experiments", "bench")),
    ],
)
def test_onnx_runtime_sends_no_telemetry(tmp_path: Path, start: str) -> None:
    bare = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    places = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    script = f"{start}; import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", script], env=bare | places, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"
    assert list(tmp_path.iterdir()) == []


def test_every_name_that_is_announced_is_there() -> None:
    assert all(getattr(sentiloc, name) is not None for name in sentiloc.__all__)
    assert set(sentiloc.__all__) <= set(dir(sentiloc))
    with pytest.raises(AttributeError, match="no attribute 'localise'"):
        _ = sentiloc.localise  # type: ignore[attr-defined]


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sentiloc", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"sentiloc {sentiloc.__version__}\n"


def test_a_model_describes_itself(model: sentiloc.Model) -> None:
    assert model.name in sentiloc.list_models()
    assert model.device.startswith("cpu")
    assert model.labels == ("negative", "positive")
    assert model.version in repr(model)


def test_a_result_is_typed_and_complete(result: sentiloc.Result) -> None:
    assert result.task == "sentiment"
    assert result.video.duration == pytest.approx(SECONDS, abs=0.1)
    assert result.segments
    assert all(isinstance(segment, sentiloc.Segment) for segment in result.segments)
    assert [segment.start for segment in result.segments] == sorted(one.start for one in result.segments)
    assert result.model.name == "fsenet-starter"
    assert isinstance(result.curve, sentiloc.Curve)
    assert set(result.timings) >= {"decoding", "localizing"}


@pytest.mark.parametrize("name", ["json", *FORMATS])
def test_every_format_is_text(result: sentiloc.Result, name: str) -> None:
    assert name in sentiloc.formats()
    assert len(result.to(name)) > 20


def test_json_is_the_document_of_the_service(result: sentiloc.Result) -> None:
    raw = json.loads(result.to_json())
    assert raw == json.loads(json.dumps(result.to_dict()))
    assert raw["options"]["threshold"] == 0.0
    assert len(raw["segments"]) == len(result.segments)


def test_segments_are_cut_again_without_the_model(model: sentiloc.Model, result: sentiloc.Result) -> None:
    best = max(segment.confidence for segment in result.segments)
    assert result.recut(threshold=best).segments
    assert not result.recut(threshold=1.0).segments
    only = result.recut(labels=["negative"]).recut(labels=["positive"]).segments
    assert {segment.label for segment in only} <= {"positive"}
    assert result.recut(min_length=SECONDS + 1, merge_gap=0).options.min_length == SECONDS + 1


def test_progress_rises_and_may_stop_the_work(model: sentiloc.Model, clip: Path) -> None:
    seen: list[tuple[str, float]] = []
    model.localize(clip, progress=lambda stage, done: seen.append((stage, done)))
    assert [stage for stage, _ in (seen[0], seen[-1])] == ["decoding", "localizing"]
    assert [done for _, done in seen] == sorted(done for _, done in seen)

    def stop(_stage: str, _done: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.localize(clip, progress=stop)


def test_a_time_range_keeps_the_video_s_times(
    model: sentiloc.Model, clip: Path, result: sentiloc.Result
) -> None:
    part = model.localize(clip, threshold=0.0, time_range=(2.0, 4.0))
    assert part.video.duration == pytest.approx(SECONDS, abs=0.1)
    assert all(1.9 <= segment.start < segment.end <= 4.5 for segment in part.segments)
    assert len(part.curve.face_present) == len(result.curve.face_present)


def test_a_cache_saves_the_decoding(clip: Path, tmp_path: Path) -> None:
    model = sentiloc.load_model(threads=1, cache=tmp_path / "cache")
    first, second = model.localize(clip), model.localize(clip)
    assert "decoding" in first.timings
    assert "decoding" not in second.timings
    assert second.segments == first.segments


def test_a_package_may_lie_anywhere(
    clip: Path, tmp_path: Path, result: sentiloc.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = Path(sentiloc.__file__).parent / "exported" / "fsenet-starter"
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in shipped.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    for name in (folder, str(folder), ".", tmp_path / "link"):
        assert sentiloc.load_model(name, threads=1).localize(clip, threshold=0.0).segments == result.segments


def test_a_package_is_found_by_any_path_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`..` has the form of a name, and so has a relative path of one part."""
    shutil.copytree(Path(sentiloc.__file__).parent / "exported" / "fsenet-starter", tmp_path / "mine")
    (tmp_path / "mine" / "notes").mkdir()
    monkeypatch.chdir(tmp_path / "mine" / "notes")
    for name in ("..", Path(".."), "../"):
        assert sentiloc.load_model(name, threads=1).name == "fsenet-starter"
    monkeypatch.chdir(tmp_path)
    assert sentiloc.load_model(Path("mine"), threads=np.int64(1)).name == "fsenet-starter"  # type: ignore[arg-type]
    with pytest.raises(sentiloc.SentilocError, match="no model package 'mine'"):
        sentiloc.load_model("mine")
    with pytest.raises(sentiloc.SentilocError, match="no model package 'other'"):
        sentiloc.load_model(Path("other"))


def test_a_configuration_s_limits_hold(clip: Path) -> None:
    limits = sentiloc.DecodeLimits(max_duration_seconds=2.0)
    model = sentiloc.load_model(config=sentiloc.RuntimeConfig(threads=1, limits=limits))
    with pytest.raises(sentiloc.SentilocError) as raised:
        model.localize(clip)
    assert raised.value.code is sentiloc.ErrorCode.LIMIT_EXCEEDED


def failures(model: sentiloc.Model, clip: Path) -> Iterator[tuple[str, str]]:
    nowhere = sentiloc.RuntimeConfig(models_dir=Path("missing"))
    calls: dict[str, Callable[[], object]] = {
        "there is no video": lambda: model.localize("nothing.mp4"),
        "File name too long": lambda: model.localize("a" * 5000),
        "threshold": lambda: model.localize(clip, threshold=1.5),
        "min_length": lambda: model.localize(clip, min_length=-1),
        "no label": lambda: model.localize(clip, labels=["joy"]),
        "labels is 'positive'; it is a list of labels, such as ['negative']": lambda: model.localize(
            clip, labels="positive"
        ),
        "begins at 1000 s; the video ends at": lambda: model.localize(clip, time_range=(1000, None)),
        "time range": lambda: model.localize(clip, time_range=(3.0, 3.0)),
        "no format": lambda: model.localize(clip).to("doc"),
        "no model package": lambda: sentiloc.load_model("nothing"),
        "no such folder": lambda: sentiloc.load_model("./nothing"),
        "there is no folder missing": lambda: sentiloc.load_model(config=nowhere),
        "threads is 0": lambda: sentiloc.load_model(threads=0),
        "threads is -1": lambda: sentiloc.load_model(config=sentiloc.RuntimeConfig(threads=-1)),
        "threads is '2'": lambda: sentiloc.load_model(threads="2"),  # type: ignore[arg-type]
        "there are cpu, openvino, cuda, tensorrt": lambda: sentiloc.load_model(device="gpu"),  # type: ignore[arg-type]
    }
    for words, call in calls.items():
        with pytest.raises(sentiloc.SentilocError) as raised:
            call()
        yield words, raised.value.detail


def test_invalid_arguments_are_refused_with_a_reason(model: sentiloc.Model, clip: Path) -> None:
    for words, detail in failures(model, clip):
        assert words in detail


def wrong_arguments(model: sentiloc.Model, result: sentiloc.Result, clip: Path) -> dict[str, list[object]]:
    """Wrong values of every argument of the Python API."""
    texts: list[object] = ["x", "", b"x"]
    numbers: list[object] = [math.nan, math.inf, -math.inf, 10**400, 1j]
    others: list[object] = [object(), [], {"a": 1}, np.array([0.0, 1.0])]
    no_number = [*texts, *numbers, *others, True]
    no_path: list[object] = [1, b"x", "\0", "\ud800", *others]
    no_flag: list[object] = ["false", 0, 1, 2.0, *others]
    return {
        "threshold": no_number,
        "min_length": no_number,
        "merge_gap": no_number,
        "labels": ["positive", 1, [1], ["positive", 3], np.array(1.0), b"x"],
        "time_range": ["ab", 1, (1,), (0, "1"), (None, 1), (0, True), (0, 1, 2), np.array(1.0), {"a": 1}],
        "audio_track": [*no_number, 0, -1, 1.0],
        "draft": no_flag,
        "progress": [0, "", [], "print"],
        "video": no_path,
        "start_timecode": [1, b"x", *others],
        "drop_frame": no_flag,
        "fps": no_number,
        "indent": [-1, 10**9, *others, *texts, *numbers],
        "name": [None, 1, b"x", *others],
        "threads": [*no_number, 0, 1.0, 10**6],
        "cache": no_path,
        "config": [0, "", {}, {"threads": 1}],
    }


ASKED: dict[str, Callable[[sentiloc.Model, sentiloc.Result, Path, dict[str, Any]], object]] = {
    "localize": lambda model, _, clip, given: model.localize(**{"video": clip, **given}),
    "recut": lambda _, result, __, given: result.recut(**given),
    "to": lambda _, result, __, given: result.to("html", **given),
    "to_json": lambda _, result, __, given: result.to_json(**given),
    "load_model": lambda _, __, ___, given: sentiloc.load_model(**given),
}
TAKEN = {
    "localize": "video threshold min_length merge_gap labels time_range audio_track draft progress",
    "recut": "threshold min_length merge_gap labels",
    "to": "start_timecode drop_frame fps video",
    "to_json": "indent",
    "load_model": "name threads cache config",
}


@pytest.mark.parametrize("function", ASKED)
def test_a_wrong_argument_ends_in_one_error_that_names_it(
    model: sentiloc.Model, result: sentiloc.Result, clip: Path, function: str
) -> None:
    wrong = wrong_arguments(model, result, clip)
    for argument in TAKEN[function].split():
        for value in wrong[argument]:
            with pytest.raises(sentiloc.SentilocError, match=rf"^{argument}\b.* is ") as raised:
                ASKED[function](model, result, clip, {argument: value})
            assert raised.value.code is sentiloc.ErrorCode.INVALID_DATA
            assert "\n" not in raised.value.detail
            assert len(raised.value.detail) < 250


CONFIGURED: dict[type, dict[str, list[object]]] = {
    sentiloc.RuntimeConfig: {
        "device": [None, ["cpu"]],
        "precision": [None, "float64", ["float32"]],
        "threads": [0, 1.5, True, 10**6],
        "face_looks": [0, "1", True],
        "visual_stride": [None, 0, 0.5],
        "visual_by_shots": [None, 1, "no"],
        "models_dir": [0, "\0"],
        "work_dir": [0, b"x"],
        "cache": ["folder", False],
        "limits": [None, {}],
    },
    sentiloc.CacheConfig: {"folder": [None, 1], "max_bytes": [0, 1.5], "max_age_seconds": [-1, math.inf]},
    sentiloc.DecodeLimits: {
        **{
            name: [None, "1", 0, -1, math.inf, math.nan]
            for name in sentiloc.DecodeLimits.__dataclass_fields__
        },
        "max_frame_pixels": [2**31, 1.5],
        "cpu_seconds": [10**30, -1, 1.5],
    },
}


@pytest.mark.parametrize("kind", CONFIGURED, ids=lambda kind: kind.__name__)
def test_a_wrong_configuration_is_refused_before_a_video_is_blamed(kind: type, tmp_path: Path) -> None:
    whole = {"folder": tmp_path} if kind is sentiloc.CacheConfig else {}
    for argument, values in CONFIGURED[kind].items():
        for value in values:
            with pytest.raises(sentiloc.SentilocError, match=rf"^{argument} is .*; it is ") as raised:
                kind(**{**whole, argument: value})
            assert raised.value.code is sentiloc.ErrorCode.INVALID_DATA


def test_numbers_of_numpy_are_numbers(
    model: sentiloc.Model, result: sentiloc.Result, clip: Path, tmp_path: Path
) -> None:
    limits = sentiloc.DecodeLimits(max_frames=np.int64(10_000), max_duration_seconds=np.float32(60))  # type: ignore[arg-type]
    cache = sentiloc.CacheConfig(folder=str(tmp_path))  # type: ignore[arg-type]
    config = sentiloc.RuntimeConfig(threads=np.int64(1), limits=limits, cache=cache)  # type: ignore[arg-type]
    cut: dict[str, Any] = {
        "threshold": np.float32(0.5),
        "min_length": np.int64(0),
        "labels": np.array(["positive"]),
    }
    asked: dict[str, Any] = {
        "draft": np.bool_(True),
        "time_range": np.array([0.0, 4.0]),
        "audio_track": np.int64(1),
    }
    found = sentiloc.load_model(config=config).localize(clip, **asked, **cut)
    assert json.loads(found.to_json())["options"] == json.loads(result.recut(**cut).to_json())["options"]


def test_every_type_of_the_annotations_has_a_public_name() -> None:
    """A user can annotate what a function takes and what a result holds."""
    members = [*vars(sentiloc.Result).items(), *vars(sentiloc.Model).items()]
    public = [one.fget if isinstance(one, property) else one for name, one in members if name[0] != "_"]
    functions = [one for one in (*public, sentiloc.load_model) if inspect.isfunction(one)]
    held = [*functions, sentiloc.RuntimeConfig, sentiloc.VideoInfo]
    names = {name for one in held for hint in one.__annotations__.values() for name in NAME.findall(hint)}
    assert names - {"Any", "Mapping", "None", "Path", "Sequence"} <= set(sentiloc.__all__)
    assert len(names) > 10


def test_the_argument_is_named_for_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(sentiloc.SentilocError) as raised:
        sentiloc.load_model(device="cuda")
    assert 'device="cuda" needs the package' in raised.value.detail
    assert "SENTILOC_DEVICE" not in raised.value.detail


def test_an_error_crosses_processes(model: sentiloc.Model) -> None:
    """A pool that cannot read a pickled error waits for its task for ever."""
    with pytest.raises(sentiloc.SentilocError) as raised:
        model.localize("nothing.mp4")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copied = pickle.loads(pickle.dumps(raised.value, protocol))
        assert type(copied) is sentiloc.SentilocError
        assert (copied.code, copied.detail, str(copied)) == (
            sentiloc.ErrorCode.SOURCE_MISSING,
            raised.value.detail,
            raised.value.detail,
        )


def test_a_kept_error_keeps_no_file_open(model: sentiloc.Model, clip: Path, tmp_path: Path) -> None:
    """A program that collects the errors of a thousand videos would run out of descriptors."""
    (tmp_path / "text.mp4").write_text("no video", encoding="utf-8")

    calls: list[Callable[[], object]] = [
        lambda: model.localize(tmp_path / "text.mp4"),
        lambda: model.localize(clip, audio_track=9),
    ]
    before, kept = open_files(), []
    for call in calls:
        with pytest.raises(sentiloc.SentilocError) as raised:
            call()
        kept.append(raised.value)
    assert open_files() == before


def open_files() -> list[str]:
    """What the descriptors of this process refer to, apart from the forker's pipes."""
    links = list(Path("/proc/self/fd").iterdir())
    names = [str(link.readlink()) for link in links if link.is_symlink()]
    return sorted(name for name in names if name.startswith("/"))


def test_threads_share_a_model(model: sentiloc.Model, clip: Path, result: sentiloc.Result) -> None:
    found: list[sentiloc.Result] = []
    threads = [
        threading.Thread(target=lambda: found.append(model.localize(clip, threshold=0.0))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = replace(result.document, timings={}).to_dict()
    assert [replace(one.document, timings={}).to_dict() for one in found] == [expected, expected]


def test_a_report_takes_its_pictures_from_the_video(
    result: sentiloc.Result, clip: Path, tmp_path: Path
) -> None:
    assert result.to("html", video=clip).count("data:image/jpeg;base64,") == min(6, len(result.segments))
    assert "<img" not in result.to("html")
    assert "<img" not in result.to("html", video=tmp_path / "gone.mp4")

"""The Blender add-on without Blender: its requests and the frames that it computes.

`tests.proofs.blender` runs it in Blender.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from sentiloc.app.schemas.jobs import EXAMPLE_QUEUED
from tests.client.scripted import Answer, answer, cut_off, hang_up, problem, scripted
from tests.client.test_clients import parts
from tests.support.services import wait_for

ADDON = Path(__file__).parents[2] / "clients/blender/sentiloc_strips/__init__.py"


class Types:
    """The base classes of the add-on."""

    AddonPreferences = Operator = Panel = object


@pytest.fixture
def addon(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    bpy = ModuleType("bpy")
    monkeypatch.setattr(bpy, "types", Types, raising=False)
    monkeypatch.setattr(bpy, "path", SimpleNamespace(abspath=str), raising=False)
    monkeypatch.setitem(sys.modules, "bpy", bpy)
    return runpy.run_path(str(ADDON))


@pytest.mark.parametrize(
    ("location", "place"),
    [("/sign-in?token=secret", "{server}/sign-in"), ("https://sso.example/in?a=b", "https://sso.example/in")],
)
def test_a_redirect_names_the_whole_address(addon: dict[str, Any], location: str, place: str) -> None:
    with (
        scripted(answer(302, None, Location=location)) as server,
        pytest.raises(addon["ServerError"]) as caught,
    ):
        addon["Server"](server.url).segments("abc")
    place = place.format(server=server.url)
    assert str(caught.value) == f"The server redirects to {place}. Is the address in the settings right?"


def test_a_redirect_to_an_invalid_url(addon: dict[str, Any]) -> None:
    with (
        scripted(answer(302, None, Location="http://[")) as server,
        pytest.raises(addon["ServerError"], match="The server answered 302"),
    ):
        addon["Server"](server.url).segments("abc")


def test_a_key_with_a_line_end(addon: dict[str, Any]) -> None:
    with scripted(answer(200, {"segments": []})) as server:
        assert addon["Server"](server.url, "k1\n").segments("abc") == []
    assert server.sent("Authorization") == ["Bearer k1"]
    for key in ("k\n1", "k\u00e4"):
        with pytest.raises(addon["ServerError"], match="characters that cannot be sent") as caught:
            addon["Server"](server.url, key)
        assert key not in str(caught.value)


def test_a_restart_of_the_server_does_not_end_the_wait(addon: dict[str, Any]) -> None:
    addon["Server"].wait.__globals__["POLL_SECONDS"] = 0.01
    script = (
        answer(200, EXAMPLE_QUEUED),
        hang_up,
        cut_off,
        answer(502, "<h1>Bad Gateway</h1>", "text/html"),
        answer(200, {**EXAMPLE_QUEUED, "state": "succeeded"}),
    )
    told: list[str] = []
    with scripted(*script) as server:
        addon["Server"](server.url).wait("abc", told.append)
    assert len(told) == 2
    with scripted(problem(404, "job_not_found")) as server:
        with pytest.raises(addon["ServerError"], match="D"):
            addon["Server"](server.url).wait("abc", told.append)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "script",
    [
        answer(200, "<h1>hello</h1>", "text/html"),
        answer(200, "[]"),
        answer(200, {"status": "ok"}),
        answer(403, "[]"),
        cut_off,
        hang_up,
    ],
)
def test_no_answer_ends_the_work_without_a_word(addon: dict[str, Any], script: Answer) -> None:
    with scripted(script) as server, pytest.raises(addon["ServerError"]):
        addon["Server"](server.url).segments("abc")


@pytest.mark.parametrize("address", ["http://127.0.0.1:80x", "http://[", "http://a b"])
def test_no_address(addon: dict[str, Any], address: str) -> None:
    with pytest.raises(addon["ServerError"], match="Is the address right"):
        addon["Server"](address).segments("abc")


def test_a_video_may_have_any_name_and_change(addon: dict[str, Any], tmp_path: Path) -> None:
    video = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    video.write_bytes(b"video")
    with scripted(answer(202, EXAMPLE_QUEUED)) as server:
        assert addon["Server"](server.url).send(video) == EXAMPLE_QUEUED["id"]
        form = parts(server.requests[0].headers, server.requests[0].body)
    assert form["video"].get_filename() == "caf?.mp4"
    pieces = addon["Server"].send.__globals__["_pieces"]
    assert b"".join(pieces(video, 3)) == b"vid"
    with pytest.raises(addon["ServerError"], match="shorter"):
        list(pieces(video, 6))


def test_a_video_is_sent_whole_and_with_its_threshold(addon: dict[str, Any], tmp_path: Path) -> None:
    video = tmp_path / 'a "b".mp4'
    video.write_bytes(bytes(range(256)) * 9)
    with scripted(answer(202, EXAMPLE_QUEUED)) as server:
        for threshold in (0.3, 0.0):
            addon["Server"](f"{server.url}/").send(video, threshold)
        forms = [parts(request.headers, request.body) for request in server.requests]
        assert server.sent("Authorization") == [None, None]
    assert [request.path for request in server.requests] == ["/v1/localize"] * 2
    assert [form["video"].get_payload(decode=True) for form in forms] == [video.read_bytes()] * 2
    assert forms[0]["video"].get_filename() == "a 'b'.mp4"
    sent = [json.loads(cast("bytes", form["options"].get_payload(decode=True))) for form in forms]
    assert sent == [{"threshold": 0.3}, {}]
    # The whole form, so a server or a proxy reads no further and keeps the connection.
    assert all(request.body.endswith(b"--\r\n") for request in server.requests)


def test_the_progress_and_the_end_of_a_job_are_told(addon: dict[str, Any]) -> None:
    addon["Server"].wait.__globals__["POLL_SECONDS"] = 0.01
    running = {**EXAMPLE_QUEUED, "state": "running", "stage": "decoding", "progress": 0.25}
    for state, error, text in (
        ("failed", {"code": "corrupt_media", "detail": "The video is broken."}, "The video is broken."),
        ("cancelled", None, "The job is cancelled."),
    ):
        ended = {**running, "state": state, "stage": None, "error": error}
        told: list[str] = []
        with (
            scripted(answer(200, running), answer(200, ended)) as server,
            pytest.raises(addon["ServerError"]) as caught,
        ):
            addon["Server"](server.url).wait("abc", told.append)
        assert (told, str(caught.value)) == (["decoding 25%", f"{state} 25%"], text)


def test_a_server_that_stays_away_ends_the_wait(addon: dict[str, Any]) -> None:
    names = addon["Server"].wait.__globals__
    names["POLL_SECONDS"], names["PATIENCE_SECONDS"] = 0.06, 0.2
    with scripted(problem(503, "shutting_down")) as server:
        with pytest.raises(addon["ServerError"]):
            addon["Server"](server.url).wait("abc", str)
        # A server that starts again is not flooded.
        assert 2 <= len(server.requests) <= 5


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "ftp://127.0.0.1", ""])
def test_an_address_without_http(addon: dict[str, Any], address: str) -> None:
    with pytest.raises(addon["ServerError"], match="begins with http"):
        addon["Server"](address)


class Strips(dict[str, SimpleNamespace]):
    """Strips by name; a dictionary of Blender yields its values."""

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self.values()))


class Scene:
    """What the add-on uses of a scene with one movie strip and, on request, its sound.

    Frames 110 to 409 of the timeline show 10 to 309 of the video.
    """

    def __init__(self, fps: int, base: float, *, has_sound: bool = False, old: bool = False) -> None:
        self.render = SimpleNamespace(fps=fps, fps_base=base)
        self.markers: list[tuple[int, str]] = []
        self.timeline_markers = SimpleNamespace(new=lambda name, frame: self.markers.append((frame, name)))
        self.clips: list[SimpleNamespace] = []
        self.strip = SimpleNamespace(
            name="clip",
            type="MOVIE",
            filepath="clip.mp4",
            channel=3,
            frame_start=100.0,
            frame_final_start=110,
            frame_final_end=410,
        )
        music, sound = (
            SimpleNamespace(
                type="SOUND", channel=channel, frame_start=start, sound=SimpleNamespace(filepath=file)
            )
            for file, channel, start in (("music.wav", 1, 1.0), ("clip.mp4", 2, 102.0))
        )
        every = Strips(clip=self.strip, music=music, **({"sound": sound} if has_sound else {}))
        made = SimpleNamespace(new_movie=self._new, new_sound=self._new)
        names = ("sequences", "sequences_all") if old else ("strips", "strips_all")
        self.sequence_editor = SimpleNamespace(
            active_strip=self.strip, **dict(zip(names, (made, every), strict=True))
        )

    def _new(self, name: str, path: str, channel: int, frame_start: int) -> SimpleNamespace:
        self.clips.append(SimpleNamespace(name=name, path=path, channel=channel, frame_start=frame_start))
        return self.clips[-1]

    def strips(self) -> list[tuple[Any, ...]]:
        """Of each clip: name, channel, first frame, frame after the last, and first frame of the video."""
        return [
            (
                one.name,
                one.channel,
                one.frame_final_start,
                one.frame_final_end,
                one.frame_final_start - one.frame_start,
            )
            for one in self.clips
        ]


def segment(start: float, end: float, label: str = "positive", confidence: float = 0.8) -> dict[str, Any]:
    return {"start": start, "end": end, "label": label, "confidence": confidence}


@pytest.mark.parametrize("old", [True, False])
def test_cuts_have_the_sound_that_the_strip_has(addon: dict[str, Any], old: bool) -> None:
    scene = Scene(25, 1.0, has_sound=True, old=old)
    assert addon["place"](scene, scene.strip, [segment(1.0, 2.0), segment(4.0, 5.0)], True) == (
        "2 segments, 2 strips"
    )
    # The sound is two frames late on the timeline, and so are its copies.
    assert scene.strips() == [
        ("positive 1", 5, 110, 135, 25),
        ("positive 1", 4, 110, 135, 23),
        ("positive 2", 5, 135, 160, 100),
        ("positive 2", 4, 135, 160, 98),
    ]


def test_the_scene_of_the_sequencer_may_be_another_than_the_windows(
    addon: dict[str, Any], tmp_path: Path
) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"video")
    with scripted(answer(202, EXAMPLE_QUEUED), SUCCEEDED, RESULT) as server:
        window, (made, reported) = Window(server.url, addon, video), operator(addon)
        window.sequencer_scene, window.scene = window.scene, SimpleNamespace(sequence_editor=None)
        assert made.poll(window)
        assert made.execute(window) == {"FINISHED"}
    assert reported == [({"INFO"}, "1 segments, 1 strips")]
    assert len(window.sequencer_scene.clips) == 1


def test_markers_and_cuts_are_on_the_frames_of_the_segments(addon: dict[str, Any]) -> None:
    scene = Scene(30, 1.001)
    found = [
        segment(0.0, 1.0),
        segment(5.005, 6.006, "negative", 0.999),
        segment(10.01, 20.0, confidence=0.456),
        segment(0.1, 0.3),
        segment(11.0, 12.0),
    ]
    assert addon["place"](scene, scene.strip, found, True) == "3 segments, 3 strips"
    assert scene.markers == [
        (110, "Positive 80%"),
        (130, "Positive 80% end"),
        (250, "Negative 99%"),
        (280, "Negative 99% end"),
        (400, "Positive 46%"),
        (410, "Positive 46% end"),
    ]
    assert scene.strips() == [
        ("positive 1", 5, 110, 130, 10),
        ("negative 2", 5, 130, 160, 150),
        ("positive 3", 5, 160, 170, 300),
    ]
    scene = Scene(25, 1.0)
    assert addon["place"](scene, scene.strip, found, False) == "4 segments, 0 strips"
    assert scene.clips == []


class Window:
    """What the add-on uses of Blender's context, with a server's address in the preferences."""

    def __init__(self, address: str, addon: dict[str, Any], video: Path) -> None:
        self.scene: Any = Scene(30, 1.001)
        self.sequencer_scene: Any = None
        self.scene.strip.filepath = str(video)
        self.preferences = SimpleNamespace(
            addons={addon["__name__"]: SimpleNamespace(preferences=SimpleNamespace(address=address, key=""))}
        )
        self.timers: list[float] = []
        self.window, self.told = None, list[str | None]()
        self.window_manager = SimpleNamespace(
            event_timer_add=self._add_timer,
            event_timer_remove=self.timers.remove,
            modal_handler_add=lambda _operator: None,
        )
        self.workspace = SimpleNamespace(status_text_set=self.told.append)

    def _add_timer(self, seconds: float, window: object) -> float:
        self.timers.append(seconds)
        return seconds


def operator(addon: dict[str, Any]) -> tuple[Any, list[tuple[Any, ...]]]:
    made, reported = addon["SENTILOC_OT_localize"](), list[tuple[Any, ...]]()
    made.cuts, made.threshold = True, 0.3
    made.report = lambda *report: reported.append(report)
    return made, reported


TIMER, ESCAPE, MOUSE = (SimpleNamespace(type=kind) for kind in ("TIMER", "ESC", "MOUSEMOVE"))
SUCCEEDED = answer(200, {**EXAMPLE_QUEUED, "state": "succeeded"})
RESULT = answer(200, {"segments": [segment(5.005, 6.006)]})


@pytest.mark.parametrize("has_window", [True, False])
@pytest.mark.parametrize("is_accepted", [True, False])
def test_the_operator_adds_what_is_found_or_reports_the_fault(
    addon: dict[str, Any], tmp_path: Path, has_window: bool, is_accepted: bool
) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"video")
    refused = answer(403, {"detail": "No key."})
    script = (answer(202, EXAMPLE_QUEUED), SUCCEEDED, RESULT) if is_accepted else (refused,)
    with scripted(*script) as server:
        window, (made, reported) = Window(server.url, addon, video), operator(addon)
        assert made.poll(window)
        if has_window:
            assert made.invoke(window, None) == {"RUNNING_MODAL"}
            made._thread.join()
            done = made.modal(window, TIMER)
        else:
            done = made.execute(window)
    if is_accepted:
        assert (done, reported) == ({"FINISHED"}, [({"INFO"}, "1 segments, 1 strips")])
    else:
        assert (done, reported) == ({"CANCELLED"}, [({"ERROR"}, "No key.")])
    assert len(window.scene.clips) == is_accepted
    assert window.timers == []
    assert window.told[-1:] == [None] * has_window


def test_the_window_stays_usable_while_the_operator_waits(addon: dict[str, Any], tmp_path: Path) -> None:
    video, release = tmp_path / "clip.mp4", threading.Event()
    video.write_bytes(b"video")

    def late(handler: Any) -> None:
        release.wait(60)
        answer(202, EXAMPLE_QUEUED)(handler)

    with scripted(late, SUCCEEDED, RESULT) as server:
        window, (made, reported) = Window(server.url, addon, video), operator(addon)
        made.invoke(window, None)
        wait_for(lambda: server.requests)
        assert made.modal(window, MOUSE) == made.modal(window, TIMER) == {"PASS_THROUGH"}
        assert window.told == ["Sentiloc: uploading (Esc stops waiting)"]
        assert made.modal(window, ESCAPE) == {"CANCELLED"}
        assert (window.timers, window.told[-1]) == ([], None)
        release.set()
        made._thread.join()
    made._timer = window.window_manager.event_timer_add(0.5, None)
    window.scene.sequence_editor.strips_all.clear()
    assert made.modal(window, TIMER) == {"CANCELLED"}
    assert reported == [({"ERROR"}, "The strip clip is no longer there.")]
    assert window.scene.markers == []


def test_only_a_movie_can_be_sent(addon: dict[str, Any]) -> None:
    poll = addon["SENTILOC_OT_localize"].poll
    for editor in (
        None,
        SimpleNamespace(active_strip=None),
        SimpleNamespace(active_strip=SimpleNamespace(type="SOUND")),
    ):
        assert not poll(SimpleNamespace(scene=SimpleNamespace(sequence_editor=editor)))

"""The requests of the Blender add-on. Of Blender itself they need only that `bpy` can be imported."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sentiloc.app.schemas.jobs import EXAMPLE_QUEUED
from tests.client.scripted import Answer, answer, cut_off, hang_up, problem, scripted
from tests.client.test_clients import parts

ADDON = Path(__file__).parents[2] / "clients/blender/sentiloc_strips/__init__.py"


class Types:
    """The base classes of the add-on."""

    AddonPreferences = Operator = Panel = object


@pytest.fixture
def addon(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    bpy = ModuleType("bpy")
    monkeypatch.setattr(bpy, "types", Types, raising=False)
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

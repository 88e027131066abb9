"""The requests of the Blender add-on. Of Blender itself they need only that `bpy` can be imported."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.client.scripted import answer, scripted

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


def test_a_redirect_to_nothing_that_is_a_url(addon: dict[str, Any]) -> None:
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

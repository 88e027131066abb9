"""Lua scripts. They lie in `.lua` files beside the Python code that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

from redis import Redis
from redis.commands.core import Script


@lru_cache
def _read(package: str, names: tuple[str, ...]) -> str:
    folder = resources.files(package) / "lua"
    return "".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)


class Scripts:
    """The scripts of one package (`package/lua/*.lua`) for one client; each is read and registered once.

    `prelude` names a file whose text comes before every script: what they share.
    """

    def __init__(self, redis: Redis, package: str, prelude: str | None = None) -> None:
        self._redis = redis
        self._package = package
        self._prelude = () if prelude is None else (prelude,)
        self._known: dict[str, Script] = {}

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | float]) -> object:
        """Run `name.lua` and return its answer. Raises `redis.RedisError`."""
        script = self._known.get(name)
        if script is None:
            text = _read(self._package, (*self._prelude, name))
            script = self._known[name] = self._redis.register_script(text)
        return script(keys=list(keys), args=list(args))

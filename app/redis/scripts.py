"""Lua scripts. They are kept in `.lua` files next to the Python code that runs them."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from functools import lru_cache
from importlib import resources
from typing import cast

from redis import Redis
from redis.commands.core import Script

# Longer than the client keeps retrying one command.
_REMEMBERED_SECONDS = 60
# The client resends a command if the connection broke before the answer came. The script must not act a second time, so
# its answer is kept under the request's id for a minute and returned again. The last of KEYS is that id's key.
_ONCE = """
local answer_key = table.remove(KEYS)
local kept = redis.call('GET', answer_key)
if kept then return cjson.decode(kept)[1] end
%s
local function act()
%s
end
local answer = act()
redis.call('SET', answer_key, cjson.encode({answer}), 'EX', %d)
return answer
"""
# If Redis's memory is full, it refuses only the first write of a script, and only if that write needs memory.
_EVEN_WHEN_FULL = "redis.call('DEL', answer_key)"
_ONE_WRITE = "redis.call('DEL', KEYS[1]) return redis.call(unpack(ARGV))"
CLOCK = "sentiloc.app.redis:clock"
"""Shared code: `now`, the time of Redis's clock."""


def write_when_full(redis: Redis, prefix: str, *command: str | float) -> object:
    """Run one command that Redis would refuse while its memory is full. Only for small values that replace earlier
    ones.
    """
    return redis.eval(_ONE_WRITE, 1, f"{prefix}room", *command)


@lru_cache
def _read(package: str, names: tuple[str, ...]) -> str:
    places = (name.rpartition(":") for name in names)
    files = (resources.files(other or package) / "lua" / f"{file}.lua" for other, _, file in places)
    return "".join(file.read_text(encoding="utf-8") for file in files)


class Scripts:
    """The scripts of one package (`package/lua/*.lua`) for one client; each is read and registered once.

    Args:
        redis: the client.
        package: the package with the folder `lua`.
        prefix: the prefix of the service's Redis keys.
        shared: files with shared code, put before every script in this order: `name`, or `package:name` for a file of
            another package.
        growing: the scripts that store something new. A Redis whose memory is full refuses them. It runs all others,
            so that accepted jobs can end and old data can be deleted.
    """

    def __init__(
        self,
        redis: Redis,
        package: str,
        prefix: str,
        shared: Sequence[str] = (),
        growing: Collection[str] = (),
    ) -> None:
        self._redis = redis
        self._package = package
        self._prefix = prefix
        self._shared = tuple(shared)
        self._growing = growing
        self._known: dict[str, Script] = {}

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | float]) -> object:
        """Run `name.lua` and return its answer. It acts once, even if the client has to resend it.

        Raises `redis.RedisError`; it is then unknown whether the script has acted.
        """
        # One id per call, made before the client's retries, so that all of them carry the same one.
        return self._script(name)(keys=[*keys, self._request()], args=list(args))

    def run_many(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[str | float]]]
    ) -> list[object]:
        """Run `name.lua` for each pair of keys and arguments, in one round trip. Each run is atomic by itself."""
        script, pipe = self._script(name), self._redis.pipeline(transaction=False)
        for keys, args in calls:
            script(keys=[*keys, self._request()], args=list(args), client=pipe)
        return cast("list[object]", pipe.execute())

    def query(self, name: str, keys: Sequence[str], args: Sequence[str | float]) -> object:
        """Run a read-only script, which is safe to resend."""
        script = self._known.get(name)
        if script is None:
            text = _read(self._package, (*self._shared, name))
            script = self._known[name] = self._redis.register_script(text)
        return script(keys=list(keys), args=list(args))

    def _script(self, name: str) -> Script:
        script = self._known.get(name)
        if script is None:
            first = "" if name in self._growing else _EVEN_WHEN_FULL
            text = _ONCE % (first, _read(self._package, (*self._shared, name)), _REMEMBERED_SECONDS)
            script = self._known[name] = self._redis.register_script(text)
        return script

    def _request(self) -> str:
        return f"{self._prefix}answer:{secrets.token_hex(8)}"

"""The address of Redis: one server, or a primary behind Sentinels.

| URL | meaning |
|---|---|
| `redis://[user:password@]host:port/db`, `rediss://…` (TLS), `unix:///path` | one server |
| `redis+sentinel://[user:password@]host:port,host:port/primary/db`, `rediss+sentinel://…` | the primary of that name |

The query holds options of the client, such as `ssl_ca_certs=/path/ca.pem`. `sentinel_username` and
`sentinel_password` are for the Sentinels themselves; the user and password before `@` are the primary's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from sentiloc.model.errors import ErrorCode, SentilocError

_SENTINEL_PORT = 26379
_SCHEMES = {"redis+sentinel": False, "rediss+sentinel": True}
_OF_SENTINELS = ("sentinel_username", "sentinel_password")


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelAddress:
    """The Sentinels, and the primary that they watch.

    `options` are the client's options for connections to the primary, `sentinel_options` those for the Sentinels.
    """

    sentinels: tuple[tuple[str, int], ...]
    primary: str
    database: int = 0
    username: str | None = None
    password: str | None = None
    is_tls: bool = False
    options: dict[str, str] = field(default_factory=dict)
    sentinel_options: dict[str, str] = field(default_factory=dict)

    @property
    def broker_url(self) -> str:
        """The Sentinels as Celery reads them: one URL each, separated by semicolons."""
        user = quote(self.username or "", safe="")
        login = f"{user}:{quote(self.password, safe='')}@" if self.password is not None else ""
        return ";".join(
            f"sentinel://{login}{_bracketed(host)}:{port}/{self.database}" for host, port in self.sentinels
        )


def sentinel_address(url: str) -> SentinelAddress | None:
    """The parts of a Sentinel URL; None for the URL of one server.

    Raises:
        SentilocError: `invalid_data` for a Sentinel URL without hosts or a primary's name, or with a wrong port or
            database.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        return None
    # urlsplit supports one host only, so the list of hosts is split here.
    netloc, _, tail = rest.partition("/")
    login, _, hosts = netloc.rpartition("@")
    parts = urlsplit(f"//host/{tail}")
    # Names and passwords may contain characters that have a meaning in URLs.
    names = [unquote(name) for name in parts.path.split("/") if name]
    if not hosts or not names or len(names) > 2:
        raise _wrong("it must be redis+sentinel://host:port,host:port/PRIMARY or …/PRIMARY/DATABASE")
    if len(names) == 2 and not names[1].isdecimal():
        raise _wrong(f"the database {names[1]!r} is not a number")
    username, _, password = login.partition(":")
    query = dict(parse_qsl(parts.query))
    return SentinelAddress(
        sentinels=tuple(_host(host) for host in hosts.split(",")),
        primary=names[0],
        database=int(names[1]) if len(names) == 2 else 0,
        username=unquote(username) or None,
        password=unquote(password) if password else None,
        is_tls=_SCHEMES[scheme],
        options={name: value for name, value in query.items() if name not in _OF_SENTINELS},
        sentinel_options={
            name.removeprefix("sentinel_"): query[name] for name in _OF_SENTINELS if name in query
        },
    )


def _host(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _wrong(f"{text!r} is not host:port") from error
    if not host:
        raise _wrong(f"{text!r} is not host:port")
    return host, port or _SENTINEL_PORT


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _wrong(reason: str) -> SentilocError:
    return SentilocError(ErrorCode.INVALID_DATA, f"SENTILOC_REDIS_URL: {reason}")

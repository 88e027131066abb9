"""HTTP client for user-supplied URLs (SSRF-safe): public addresses only, no redirects, bounded time.

A host is resolved once and all its addresses must be public. The connection goes to a checked address. The host is not
resolved again, which prevents DNS rebinding. TLS still verifies the host's name.
"""

from __future__ import annotations

import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpcore
import httpx

from sentiloc.app.outbound.addresses import is_public, parse_address
from sentiloc.model.errors import ErrorCode, SentilocError

Resolver = Callable[[str, int], Sequence[str]]
"""Maps (host, port) to the host's addresses; raises OSError if it has none."""

MAX_URL = 2048
_CONNECT_SECONDS = 10.0
# How soon a stop is noticed while a server sends nothing.
_SLICE_SECONDS = 0.5
_BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError)

_CONTROL = re.compile(r"[\x00-\x20\x7f]")
# The system's resolver reads hosts such as 0x7f.1 or 2130706433 as addresses, as browsers do.
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")


def system_resolver(host: str, port: int) -> list[str]:
    """Resolve a host with the operating system."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # Each address once, in the resolver's order of preference.
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer. `body` is cut off at the caller's limit; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Outbound:
    """Sends requests to public addresses and to the networks in `allow` (CIDR)."""

    allow: Sequence[str] = ()
    resolver: Resolver = system_resolver
    tls: ssl.SSLContext | None = None

    def check(self, url: str) -> httpx.URL:
        """Check a URL without resolving its host; raises `url_forbidden`."""
        parsed = _parse(url)
        if parsed.host == "localhost" or parsed.host.endswith(".localhost"):
            # Resolvers may not know `localhost`, but it always means this machine (RFC 6761).
            for address in ("127.0.0.1", "::1"):
                self._require_public(address)
        # An address in the URL needs no resolver, so it is refused before a job is accepted.
        literal = _literal(parsed.host)
        if literal is not None:
            self._require_public(literal)
        return parsed

    def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host. Raises `url_forbidden` if any is not public, `url_unreachable` if there are none."""
        literal = _literal(host)
        try:
            found = [literal] if literal is not None else list(self.resolver(host, port))
        except (OSError, UnicodeError) as error:
            raise _unreachable("its host is not known") from error
        # All of them: with one public address in the list, a retry could reach a private one.
        for address in found:
            self._require_public(address)
        if not found:
            raise _unreachable("its host is not known")
        return found

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        total_seconds: float,
        idle_seconds: float = 30.0,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[httpcore.Response]:
        """Yield the response, whatever its status, before its body is read. Redirects are not followed.

        The exchange including the body may take `total_seconds`, and each wait for data `idle_seconds`. It ends early
        once `stopped` returns True. Raises `url_forbidden` and `url_unreachable`.
        """
        parsed = self.check(url)
        limits = _Limits(time.monotonic() + total_seconds, stopped)
        backend = _CheckedBackend(self, limits)
        waits = {"connect": _CONNECT_SECONDS, "read": idle_seconds, "write": idle_seconds, "pool": 1.0}
        asked = httpcore.URL(
            scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path
        )
        # identity: a compressed body could expand far beyond the counted bytes.
        sent = {"Host": parsed.netloc.decode("ascii"), "Accept-Encoding": "identity", **(headers or {})}
        # SSL_CERT_FILE and the like must not change which certificates are trusted.
        tls = self.tls or httpx.create_ssl_context(trust_env=False)
        with (
            _typed(),
            httpcore.ConnectionPool(ssl_context=tls, network_backend=backend, http2=False) as pool,
            pool.stream(
                method, asked, headers=list(sent.items()), content=content, extensions={"timeout": waits}
            ) as response,
        ):
            yield response

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        total_seconds: float,
        max_bytes: int = 4096,
    ) -> Answer:
        """Send a request and read at most `max_bytes` of the answer's body, or what arrives of it in time.

        Raises `url_forbidden` and `url_unreachable`.
        """
        with self.stream(
            method, url, headers=headers, content=content, total_seconds=total_seconds
        ) as response:
            body = bytearray()
            # The status has arrived, so the request counts as answered even without the rest of the body.
            with suppress(httpcore.TimeoutException, *_BROKEN):
                for chunk in response.iter_stream():
                    body += chunk
                    # A receiver could otherwise send an endless answer.
                    if len(body) >= max_bytes:
                        break
            return Answer(response.status, header_texts(response), bytes(body[:max_bytes]))

    def _require_public(self, address: str) -> None:
        if not is_public(address) and not self._is_allowed(address):
            detail = "The URL leads to an address that this server does not connect to."
            raise SentilocError(ErrorCode.URL_FORBIDDEN, detail)

    def _is_allowed(self, address: str) -> bool:
        parsed = parse_address(address)
        networks = [ipaddress.ip_network(network, strict=False) for network in self.allow]
        return parsed is not None and any(parsed in net for net in networks if net.version == parsed.version)


def header_texts(response: httpcore.Response) -> dict[str, str]:
    """The headers of a response; the last value of a repeated header."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


def _parse(url: str) -> httpx.URL:
    try:
        if len(url) > MAX_URL or _CONTROL.search(url):
            raise ValueError
        parsed = httpx.URL(url)
        host = parsed.host
        if parsed.port is not None and not 0 < parsed.port < 65_536:
            raise ValueError
    except (httpx.InvalidURL, ValueError, UnicodeError) as error:
        raise _forbidden("The URL is malformed.") from error
    if parsed.scheme not in ("http", "https"):
        raise _forbidden("The URL must begin with http:// or https://.")
    # It would be sent to the host and appear in logs; it also hides the real host from readers.
    if parsed.userinfo:
        raise _forbidden("The URL must not contain a user name or a password.")
    is_number = _NUMBER.match(host.rstrip(".").rpartition(".")[2])
    if not host or "%" in host or (is_number and parse_address(host) is None):
        raise _forbidden("The URL's host is neither a name nor a plain address.")
    return parsed


def _literal(host: str) -> str | None:
    return host if parse_address(host) is not None else None


def _forbidden(detail: str) -> SentilocError:
    return SentilocError(ErrorCode.URL_FORBIDDEN, detail)


def _unreachable(reason: str) -> SentilocError:
    return SentilocError(ErrorCode.URL_UNREACHABLE, f"The URL could not be fetched: {reason}.")


@contextmanager
def _typed() -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise _unreachable("it took too long") from error
    except _BROKEN as error:
        is_tls = "SSL" in str(error) or "certificate" in str(error).lower()
        reason = "its certificate or encryption is not accepted" if is_tls else "the connection failed"
        raise _unreachable(reason) from error


@dataclass(slots=True)
class _Limits:
    deadline: float
    stopped: Callable[[], bool]

    def left(self, seconds: float | None, kind: type[httpcore.TimeoutException]) -> float:
        """The seconds that a step may take: `seconds`, or the rest of the whole exchange if that is less."""
        rest = self.deadline - time.monotonic()
        if rest <= 0 or self.stopped():
            raise kind
        return rest if seconds is None else min(rest, seconds)


@dataclass(slots=True)
class _CheckedBackend(httpcore.NetworkBackend):
    """Connects only to addresses that were checked. The name is not resolved again."""

    outbound: Outbound
    limits: _Limits
    inner: httpcore.SyncBackend = field(default_factory=httpcore.SyncBackend)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers."""
        failure: Exception | None = None
        wait = self.limits.left(timeout, httpcore.ConnectTimeout)
        for address in _within(wait, lambda: self.outbound.resolve(host.strip("[]"), port)):
            wait = self.limits.left(timeout, httpcore.ConnectTimeout)
            try:
                stream = self.inner.connect_tcp(address, port, wait, local_address, socket_options)
                return _BoundedStream(stream, self.limits)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("no address")


@dataclass(slots=True)
class _BoundedStream(httpcore.NetworkStream):
    """A connection whose steps share one deadline."""

    inner: httpcore.NetworkStream
    limits: _Limits

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read with short time-outs, so that a stop is noticed soon."""
        until = time.monotonic() + self.limits.left(timeout, httpcore.ReadTimeout)
        while True:
            wait = self.limits.left(until - time.monotonic(), httpcore.ReadTimeout)
            try:
                # A time-out of 0 would make the socket non-blocking.
                return self.inner.read(max_bytes, max(0.001, min(wait, _SLICE_SECONDS)))
            except httpcore.ReadTimeout:
                if time.monotonic() >= until:
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write the whole buffer."""
        self.inner.write(buffer, self.limits.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        """Close the connection."""
        self.inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Encrypt; the certificate must be that of `server_hostname`."""
        wait = self.limits.left(timeout, httpcore.ConnectTimeout)
        return _BoundedStream(self.inner.start_tls(ssl_context, server_hostname, wait), self.limits)

    def get_extra_info(self, info: str) -> Any:
        """Information about the socket."""
        return self.inner.get_extra_info(info)


def _within(seconds: float, call: Callable[[], list[str]]) -> list[str]:
    """The result of `call`. The system's resolver has no time-out, so a call that takes too long is abandoned."""
    box: queue.SimpleQueue[list[str] | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            box.put(call())
        except BaseException as error:
            box.put(error)

    # getaddrinfo cannot be cancelled; the thread ends when the resolver gives up.
    threading.Thread(target=run, name="resolve", daemon=True).start()
    try:
        outcome = box.get(timeout=seconds)
    except queue.Empty:
        raise httpcore.ConnectTimeout from None
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome

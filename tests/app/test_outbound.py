"""User-supplied URLs lead to public addresses only, tested with real listeners and every connect of this process."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
import trustme

from sentiloc.app.outbound.addresses import is_public
from sentiloc.app.outbound.client import MAX_URL, Outbound
from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode, SentilocError
from tests.support.listeners import listening

LOOPBACK = ("127.0.0.0/8", "::1/128")
CONNECTED: list[str] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        CONNECTED.append(str(arguments[1][0]))


sys.addaudithook(_hear)


def resolver(*answers: list[str]) -> Callable[[str, int], list[str]]:
    """Answers in turn; the last one for ever."""
    left = list(answers)

    def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def code_of(outbound: Outbound, url: str, seconds: float = 10.0) -> ErrorCode:
    with pytest.raises(SentilocError) as caught:
        outbound.send("GET", url, total_seconds=seconds)
    return caught.value.code


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1"),
        *("255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.9"),
        *(
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "fe80::1",
            "fe80::1%lo",
            "fc00::1",
        ),
        *("fd00:ec2::254", "ff02::1", "2002:7f00:1::", "2001::1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
        *("2001:db8::1", "3fff::1", "fec0::1"),
    ],
)
def test_no_connection_leaves_for_an_address_that_is_not_public(address: str) -> None:
    assert not is_public(address)
    CONNECTED.clear()
    outbound = Outbound(resolver=resolver([address]))
    assert code_of(outbound, "http://named.example:8080/") is ErrorCode.URL_FORBIDDEN
    literal = f"[{address}]" if ":" in address else address
    assert code_of(outbound, f"http://{literal}/") is ErrorCode.URL_FORBIDDEN
    mixed = Outbound(resolver=resolver(["93.184.215.14", address]))
    assert code_of(mixed, "https://named.example/") is ErrorCode.URL_FORBIDDEN
    assert CONNECTED == []


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "172.32.0.1", "2606:4700::1111", "2a00::1"])
def test_public_addresses_are(address: str) -> None:
    assert is_public(address)
    outbound = Outbound(resolver=resolver([address]))
    assert outbound.resolve("named.example", 80) == outbound.resolve(address, 80) == [address]
    assert outbound.check(f"http://[{address}]/" if ":" in address else f"http://{address}/")


def test_special_ranges_are_closed_to_their_last_address_and_no_further() -> None:
    ranges = [
        *(
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
        ),
        *(("169.254.0.0", "169.254.255.255"), ("172.16.0.0", "172.31.255.255"), ("192.0.0.0", "192.0.0.255")),
        *(("192.0.2.0", "192.0.2.255"), ("192.88.99.0", "192.88.99.255"), ("192.168.0.0", "192.168.255.255")),
        *(
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
        ),
        *(("168.63.129.16", "168.63.129.16"), ("224.0.0.0", "255.255.255.255"), ("0.0.0.0", "0.255.255.255")),
        *(
            ("2001::", "2001:1ff:" + ":".join(["ffff"] * 6)),
            ("2001:db8::", "2001:db8:" + ":".join(["ffff"] * 6)),
        ),
        *(("2002::", "2002:" + ":".join(["ffff"] * 7)), ("3fff::", "3fff:fff:" + ":".join(["ffff"] * 6))),
        *(("::", "1fff:" + ":".join(["ffff"] * 7)), ("4000::", ":".join(["ffff"] * 8))),
    ]
    for first, last in ranges:
        start, end = ip_address(first), ip_address(last)
        assert (is_public(first), is_public(last)) == (False, False)
        beside = [start - 1] if int(start) else []
        beside += [end + 1] if int(end) < 2**end.max_prefixlen - 1 else []
        neighbours = [str(address) for address in beside if not any(_holds(pair, address) for pair in ranges)]
        assert all(map(is_public, neighbours)), neighbours


def _holds(pair: tuple[str, str], address: IPv4Address | IPv6Address) -> bool:
    first, last = map(ip_address, pair)
    return first.version == address.version and int(first) <= int(address) <= int(last)


@pytest.mark.parametrize(
    "url",
    [
        *("http://2130706433:{port}/", "http://017700000001:{port}/", "http://0x7f000001:{port}/"),
        *("http://0177.0.0.1:{port}/", "http://0x7f.1:{port}/", "http://127.1:{port}/", "http://0:{port}/"),
        *("http://127.0.0.1:{port}/", "http://127.0.0.1.:{port}/", "http://localhost:{port}/"),
        *("http://a.localhost:{port}/", "http://LOCALHOST:{port}/", "http://[::ffff:127.0.0.1]:{port}/"),
        *("http://[::1]:{port}/", "http://user@127.0.0.1:{port}/", "http://example.com@127.0.0.1:{port}/"),
        *("http://１２７.0.0.1:{port}/", "http://127.0.0.1:{port}\r\nX: y/", " http://127.0.0.1:{port}/"),
        *(
            "file:///etc/passwd",
            "ftp://127.0.0.1:{port}/",
            "gopher://127.0.0.1:{port}/",
            "//127.0.0.1:{port}/",
        ),
        *(
            "http:///x",
            "http://h:99999/",
            "http://h:0/",
            "http://[fe80::1%25lo]:{port}/",
            "",
            "http://" + "a" * 3000,
        ),
    ],
)
def test_a_listener_on_loopback_is_not_called(url: str) -> None:
    with listening() as listener:
        outbound = Outbound()
        assert code_of(outbound, url.format(port=listener.port)) is ErrorCode.URL_FORBIDDEN
        with pytest.raises(SentilocError):
            outbound.check(url.format(port=listener.port))
        assert listener.connections == 0


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *((f"http://8.8.8.8/a{char}b", "malformed") for char in "\x00\n \x7f"),
        ("http://8.8.8.8/" + "a" * (MAX_URL - 14), "malformed"),
        *((f"http://8.8.8.8:{port}/", "malformed") for port in (0, 65536)),
        *((url, "must begin with") for url in ("ftp://8.8.8.8/", "ws://8.8.8.8/", "//8.8.8.8/")),
        *((f"https://{user}@8.8.8.8/", "user name") for user in ("me", "me:secret", ":secret")),
        *((f"http://{host}/", "neither a name") for host in ("134744072", "8.0x8", "a%41.com")),
    ],
)
def test_a_url_that_no_one_needs_is_refused_wherever_it_leads(url: str, reason: str) -> None:
    with pytest.raises(SentilocError, match=reason) as caught:
        Outbound().check(url)
    assert caught.value.code is ErrorCode.URL_FORBIDDEN


@pytest.mark.parametrize("rest", [":1/", ":65535/", "/!~?a=b", "/" + "a" * (MAX_URL - 15)])
def test_a_url_may_be_this_odd(rest: str) -> None:
    assert Outbound().check(f"http://8.8.8.8{rest}").host == "8.8.8.8"


def test_names_are_resolved_only_once() -> None:
    with listening() as listener:
        rebinding = Outbound(allow=["127.0.0.2/32"], resolver=resolver(["127.0.0.2"], ["127.0.0.1"]))
        CONNECTED.clear()
        assert code_of(rebinding, f"http://rebind.example:{listener.port}/") is ErrorCode.URL_UNREACHABLE
        assert CONNECTED == ["127.0.0.2"]
        assert listener.connections == 0
        # The second answer is checked again.
        assert code_of(rebinding, f"http://rebind.example:{listener.port}/") is ErrorCode.URL_FORBIDDEN
        assert listener.connections == 0


def test_allowed_networks_are_called_with_the_host_s_name() -> None:
    with listening() as listener:
        outbound = Outbound(allow=LOOPBACK, resolver=resolver(["::1", "127.0.0.1"]))
        answer = outbound.send(
            "POST",
            f"http://named.example:{listener.port}/a?b=c",
            headers={"X-A": "1"},
            content=b"body",
            total_seconds=10,
        )
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"hello", "5")
        (request,) = listener.requests
    assert request.startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert f"host: named.example:{listener.port}\r\n".encode() in request.lower()
    assert b"x-a: 1\r\n" in request.lower()


def test_a_name_is_resolved_by_the_system() -> None:
    with listening() as listener:
        url = f"http://localhost:{listener.port}/"
        assert Outbound(allow=LOOPBACK).send("GET", url, total_seconds=10).body == b"hello"


def test_nothing_but_an_address_is_connected_to() -> None:
    named = Outbound(allow=LOOPBACK, resolver=resolver(["elsewhere"]))
    assert code_of(named, "http://a.example/") is ErrorCode.URL_FORBIDDEN
    # Of one version of IP: the other's addresses are compared with none of its networks.
    assert code_of(Outbound(allow=["::/0"]), "http://127.0.0.1:1/") is ErrorCode.URL_FORBIDDEN


def test_no_more_is_read_of_an_answer_than_asked_for() -> None:
    def flood(stream: socket.socket) -> None:
        stream.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            stream.sendall(bytes(1000))

    with listening(flood) as listener:
        started, url = time.monotonic(), f"http://127.0.0.1:{listener.port}/"
        answer = Outbound(allow=LOOPBACK).send("GET", url, total_seconds=60, max_bytes=5)
    assert answer.body == bytes(5)
    assert time.monotonic() - started < 30


def test_redirects_are_not_followed() -> None:
    with listening() as inner:
        target = f"http://127.0.0.1:{inner.port}/".encode()
        with listening(b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % target) as outer:
            outbound = Outbound(allow=LOOPBACK)
            assert outbound.send("GET", f"http://127.0.0.1:{outer.port}/", total_seconds=10).status == 302
        assert inner.connections == 0


def test_the_certificate_must_be_the_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("right.example").configure_cert(server)
    names: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    to_loopback = resolver(["127.0.0.1"])
    with listening(tls=server) as listener:
        outbound = Outbound(allow=LOOPBACK, resolver=to_loopback, tls=client)
        url = f"https://right.example:{listener.port}/"
        assert outbound.send("GET", url, total_seconds=10).body == b"hello"
        assert names == ["right.example"]
        wrong = f"https://wrong.example:{listener.port}/"
        with pytest.raises(SentilocError, match="certificate or encryption") as caught:
            outbound.send("GET", wrong, total_seconds=10)
        assert caught.value.code is ErrorCode.URL_UNREACHABLE
        authority.cert_pem.write_to_path(tmp_path / "trusted.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
        untrusting = Outbound(allow=LOOPBACK, resolver=to_loopback)
        assert code_of(untrusting, url) is ErrorCode.URL_UNREACHABLE
        assert len(listener.requests) == 1


def _drip(stream: socket.socket) -> None:
    stream.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        stream.sendall(b"X: y\r\n")
        time.sleep(0.05)


def test_a_server_that_drips_is_left_in_time() -> None:
    with listening(_drip) as listener:
        started = time.monotonic()
        url = f"http://127.0.0.1:{listener.port}/"
        assert code_of(Outbound(allow=LOOPBACK), url, seconds=1.0) is ErrorCode.URL_UNREACHABLE
        assert time.monotonic() - started < 60


def _stall(stream: socket.socket) -> None:
    stream.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\npart")
    stream.recv(1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\npart",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nno length\r\n",
        _stall,
    ],
)
def test_a_body_that_does_not_arrive_leaves_the_status(
    answer: bytes | Callable[[socket.socket], None],
) -> None:
    with listening(answer) as listener:
        url = f"http://127.0.0.1:{listener.port}/"
        found = Outbound(allow=LOOPBACK).send("POST", url, content=b"x", total_seconds=2.0)
    assert (found.status, found.body) == (202, b"part")


def test_a_wait_ends_when_it_should() -> None:
    stop = threading.Event()

    def hold(stream: socket.socket) -> None:
        stop.set()
        stream.recv(1)

    with listening(hold) as listener:
        outbound, url = Outbound(allow=LOOPBACK), f"http://127.0.0.1:{listener.port}/"
        with (
            pytest.raises(SentilocError) as caught,
            outbound.stream("GET", url, total_seconds=60, stopped=stop.is_set),
        ):
            pass
    assert caught.value.code is ErrorCode.URL_UNREACHABLE


def test_a_hanging_or_failing_resolver_is_a_typed_error() -> None:
    release = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        release.wait(120)
        return ["127.0.0.1"]

    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    try:
        assert code_of(Outbound(resolver=hang), "http://h.example/", 0.2) is ErrorCode.URL_UNREACHABLE
    finally:
        release.set()
    for outbound in (Outbound(resolver=unknown), Outbound(resolver=resolver([]))):
        with pytest.raises(SentilocError, match="its host is not known") as caught:
            outbound.send("GET", "http://h.example/", total_seconds=10)
        assert caught.value.code is ErrorCode.URL_UNREACHABLE
    closed = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    closed.close()
    with pytest.raises(SentilocError, match="the connection failed"):
        Outbound(allow=LOOPBACK).send("GET", url, total_seconds=10)


def test_a_network_that_is_none_is_refused_by_the_settings() -> None:
    with pytest.raises(ValueError, match="outbound_allow"):
        Settings(outbound_allow=["loopback"])
    assert Settings(outbound_allow=["127.0.0.1"]).outbound_allow == ["127.0.0.1/32"]

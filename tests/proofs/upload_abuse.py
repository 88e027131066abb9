"""Hostile clients against a real service: endless uploads, names, headers, multipart bodies, and slow ones.

    python -m tests.proofs.upload_abuse [--gigabytes 5] [--work runs/abuse]

The upload exceeds the default limit of 2 GiB; the memory is the API's resident size during the upload.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.proofs.faults.rig import RESULTS, Row, running, save
from tests.service.running import RunningService
from tests.service.test_uploads import BOUNDARY, FIELD, HEAD, chunk, memory, read_all

CHUNK = bytes(1 << 20)
MOST_GROWTH = 64 << 20
_NAMES = (
    *(
        "../../etc/passwd",
        "..\\..\\windows\\system32\\a",
        "/etc/passwd",
        "C:\\a.mp4",
        "....//....//a",
        "%2e%2e%2fa",
    ),
    *(
        "a\0b.mp4",
        "a\r\nSet-Cookie: b",
        'a"; name="options',
        "a;b",
        "$(touch x)",
        "`touch x`",
        "|touch x",
        "&&touch x",
    ),
    *(
        "-rf",
        "--help",
        "~root",
        "con.mp4",
        "nul",
        "aux.mp4",
        "." * 255,
        "a" * 10_000,
        "é" * 300,
        "\u202egpm.4pm",
    ),
    *(
        "<script>alert(1)</script>.mp4",
        "' OR 1=1 --",
        "{{7*7}}",
        "${jndi:ldap://127.0.0.1/a}",
        "file:///etc/passwd",
    ),
    *(
        "http://127.0.0.1/a",
        "concat:a|b",
        "a.mp4/../../b",
        "\\\\host\\share",
        "a.mp4\n",
        "\ufeffa",
        "\u2028",
        "😀.mp4",
    ),
)


def hostile_names() -> list[str]:
    """More than a hundred hostile names, with variants: a suffix, a prefix, or doubled."""
    return [*_NAMES, *(f"uploads/{name}" for name in _NAMES), *(f"{name}.part" for name in _NAMES)]


def endless_upload(service: RunningService, gigabytes: float, limit: int) -> Row:
    """Send an endless body without a length; returns the accepted bytes, the memory and remaining files."""
    before, pid = _files(service), service.process("API")
    at_first, peak, sent = memory(pid), 0, 0
    answers: list[bytes] = []
    with _connection(service) as client:
        client.settimeout(None)
        client.sendall(HEAD.replace("{length}", "Transfer-Encoding: chunked").encode())
        reader = threading.Thread(target=lambda: answers.append(read_all(client)))
        reader.start()
        with contextlib.suppress(OSError):
            client.sendall(chunk(FIELD))
            while sent < gigabytes * (1 << 30) and not answers:
                client.sendall(chunk(CHUNK))
                sent += len(CHUNK)
                if sent % (64 << 20) == 0:
                    peak = max(peak, memory(pid))
        reader.join(30)
    answer = answers[0] if answers else b""
    row: Row = {
        "limit_bytes": limit,
        "sent_bytes": sent,
        "status": int(answer[9:12] or 0),
        "memory_grew_bytes": max(0, max(peak, memory(pid)) - at_first),
        "files_left": sorted(_files(service) - before),
    }
    return {
        **row,
        "passed": row["status"] == 413 and row["memory_grew_bytes"] < MOST_GROWTH and not row["files_left"],
    }


def announced_upload(service: RunningService, gigabytes: float) -> Row:
    """A length over the limit is refused before the body is read."""
    length = f"Content-Length: {int(gigabytes * (1 << 30))}\r\nExpect: 100-continue"
    with _connection(service) as client:
        client.sendall(HEAD.replace("{length}", length).encode())
        answer = client.recv(65_536)
    return {"status": int(answer[9:12] or 0), "passed": answer.startswith(b"HTTP/1.1 413")}


def names(service: RunningService, root: Path) -> Row:
    """Hostile file names: no path above the data folder changes, and all displayed names are harmless."""
    before = _outside(root, service.data)
    statuses: Counter[int] = Counter()
    shown = []
    for name in hostile_names():
        raw = (
            name.encode("utf-8", "surrogatepass")
            .replace(b'"', b"%22")
            .replace(b"\r", b"")
            .replace(b"\n", b"")
        )
        field = b'Content-Disposition: form-data; name="video"; filename="' + raw + b'"\r\n\r\n'
        body = b"--x\r\n" + field + b"not a video\r\n--x--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = service.client.post("/localize", content=body, headers=headers)
        statuses[answer.status_code] += 1
        if answer.status_code == 202:
            shown.append(answer.json()["source"]["name"])
    bad = [name for name in shown if "/" in name or "\\" in name or not name.isprintable() or len(name) > 255]
    stored = [path for path in service.data.glob("uploads/*") if not path.stem.replace("-", "").isascii()]
    written = sorted(_outside(root, service.data) - before)
    return {
        "names": len(hostile_names()),
        "statuses": statuses,
        "written_outside": written,
        "bad_shown": bad,
        "bad_stored": len(stored),
        "passed": not written and not bad and not stored and max(statuses) < 500,
    }


def _post(*headers: str, body: bytes = b"") -> bytes:
    head = "\r\n".join(("POST /localize HTTP/1.1", "Host: a", *headers, "", ""))
    return head.encode() + body


def _form(length: int, body: bytes) -> bytes:
    return HEAD.replace("{length}", f"Content-Length: {length}").encode() + body


_LONG = b"y" * (2 << 20)
REQUESTS: dict[str, bytes] = {
    "no boundary": _post("Content-Type: multipart/form-data", "Content-Length: 1", body=b"x"),
    "long boundary": _post(
        "Content-Type: multipart/form-data; boundary=" + "x" * 5000, "Content-Length: 1", body=b"x"
    ),
    "10,000 headers": b"GET /jobs HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    "a header of 2 MB": b"GET /jobs HTTP/1.1\r\nHost: a\r\nX: " + _LONG + b"\r\n\r\n",
    "a path of 2 MB": b"GET /" + _LONG + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "two lengths": _post("Content-Length: 1", "Content-Length: 9", body=b"x"),
    "length and chunks": _post("Content-Length: 3", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "negative length": _post("Content-Length: -1"),
    "huge chunk": _post("Transfer-Encoding: chunked", body=b"ffffffffffffffff\r\nx"),
    "nul bytes": b"\0" * 1000 + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3" + bytes(100) + b"\r\n\r\n",
    "no host": b"GET /jobs HTTP/1.1\r\n\r\n",
    "a path upwards": b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
    "an encoded path upwards": b"GET /jobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method of its own": b"PWN /jobs HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP 2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a part without end": _form(400, FIELD + b"x" * 20),
    "ten thousand parts": _form(len(FIELD) * 10_000, FIELD * 10_000),
    "a part header of 2 MB": _form(3 << 20, f"--{BOUNDARY}\r\nX: ".encode() + _LONG),
}


def requests(service: RunningService) -> Row:
    """Broken and oversized requests: each gets a status below 500 or is disconnected; the service survives."""
    rows: dict[str, int] = {}
    for name, raw in REQUESTS.items():
        with _connection(service) as client:
            with contextlib.suppress(OSError):
                client.sendall(raw)
            answer = read_all(client)
        rows[name] = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
    alive = service.client.get("/jobs").status_code == 200
    errors = [name for name, status in rows.items() if status >= 500]
    return {"answers": rows, "passed": alive and not errors}


def slow_loris(service: RunningService, clients: int, seconds: float) -> Row:
    """Many connections that send a header byte by byte: the service still answers others and disconnects these."""
    connections = [socket.create_connection(_address(service), timeout=5) for _ in range(clients)]
    for client in connections:
        client.sendall(b"GET /jobs HTTP/1.1\r\nHost: a\r\nX: ")
    statuses: Counter[str] = Counter()
    dropped, deadline = 0, time.monotonic() + seconds
    while connections and time.monotonic() < deadline:
        connections, ended = _drip(connections)
        dropped += ended
        with contextlib.suppress(httpx.TransportError):
            statuses[str(httpx.get(f"{service.url}/healthz", timeout=30).status_code)] += 1
        time.sleep(0.5)
    left = len(connections)
    for client in connections:
        client.close()
    return {
        "connections": clients,
        "dropped": dropped,
        "left_after_the_time": left,
        "others_answered": statuses,
        "passed": left == 0 and set(statuses) == {"200"},
    }


def _drip(connections: list[socket.socket]) -> tuple[list[socket.socket], int]:
    alive = []
    for client in connections:
        try:
            client.sendall(b"x")
            client.settimeout(0.001)
            if client.recv(1, socket.MSG_PEEK):
                raise ConnectionError
        except TimeoutError:
            alive.append(client)
        except OSError:
            client.close()
    return alive, len(connections) - len(alive)


def _address(service: RunningService) -> tuple[str, int]:
    parts = urlsplit(service.url)
    return str(parts.hostname), int(parts.port or 0)


def _connection(service: RunningService) -> socket.socket:
    return socket.create_connection(_address(service), timeout=180)


def _files(service: RunningService) -> set[str]:
    return {str(path) for path in (service.data / "uploads").glob("*")}


def _outside(root: Path, data: Path) -> set[str]:
    return {str(path) for path in root.rglob("*") if data not in path.parents}


def main() -> None:
    """Run all rows, or the given ones and keep the other results, and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--limit-gigabytes", type=float, default=2.0)
    parser.add_argument("--only", action="append", help="names of rows of the results")
    parser.add_argument("--work", type=Path, default=Path("runs") / "abuse")
    args = parser.parse_args()
    limit = int(args.limit_gigabytes * (1 << 30))
    quick = {"upload_idle_seconds": 5, "header_seconds": 10, "max_upload_bytes": limit}
    with running(args.work, "service", **quick) as service:
        proofs: dict[str, Callable[[], Row]] = {
            "announced_upload": lambda: announced_upload(service, args.gigabytes),
            "names": lambda: names(service, args.work),
            "requests": lambda: requests(service),
            "slow_loris": lambda: slow_loris(service, 400, 60),
            "endless_upload": lambda: endless_upload(service, args.gigabytes, limit),
        }
        rows = _last_rows(set(proofs)) if args.only else {}
        rows |= {name: prove() for name, prove in proofs.items() if not args.only or name in args.only}
    passed = all(row["passed"] for row in rows.values())
    save("upload_abuse", "python -m tests.proofs.upload_abuse", {**rows, "passed": passed})


def _last_rows(names: set[str]) -> Row:
    path = RESULTS / "upload_abuse.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: row for name, row in found.items() if name in names}


if __name__ == "__main__":
    main()

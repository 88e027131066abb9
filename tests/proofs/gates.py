"""Addresses that must not be called, and jobs and keys that must look non-existent.

    python -m tests.proofs.gates [--work runs/gates]

Outbound requests (URL fetch and webhooks share `outbound.client`) are tested with a resolver of this command and
listeners on loopback; an audit hook of the interpreter sees every connect of the process. The keys are tested against
the whole application with a private Redis, on every path and verb of its OpenAPI document.
"""

from __future__ import annotations

import argparse
import re
import secrets
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from fastapi.testclient import TestClient

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import KeyStore, check_key, split_key
from sentiloc.app.main import create_app
from sentiloc.app.outbound.client import Outbound
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from sentiloc.model.errors import SentilocError
from tests.proofs.faults.rig import Row, save
from tests.support.services import private_redis

PRIVATE = (
    *("127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
    *("::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1"),
)
LITERALS = (
    *(
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
    ),
    *(
        "[::ffff:7f00:1]",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "10.0.0.1",
    ),
)
SCHEMES = (
    "file:///etc/passwd",
    "ftp://example.org/a",
    "gopher://127.0.0.1/",
    "data:text/plain,a",
    "unix:///a",
    "//a/b",
)
CONNECTS: list[str] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        CONNECTS.append(str(arguments[1][0]))


class Listener:
    """Answers every call with a redirect to itself, and counts them."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.calls = 0
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        target = f"http://127.0.0.1:{self.port}/again"
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.calls += 1
                client.recv(65_536)
                client.sendall(
                    f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
                )
                client.close()


def outbound_row() -> Row:
    """Try all URLs; returns the outcomes and the called listeners."""
    sys.addaudithook(_hear)
    listener = Listener()
    ends: Counter[str] = Counter()
    urls = [f"http://{host}:{listener.port}/" for host in LITERALS] + list(SCHEMES)
    for url in urls:
        ends[_try(Outbound(), url)] += 1
    for address in PRIVATE:
        ends[_try(Outbound(resolver=lambda *_, a=address: [a]), f"http://name.test:{listener.port}/")] += 1
        mixed = Outbound(resolver=lambda *_, a=address: ["93.184.216.34", a])
        ends[_try(mixed, f"http://name.test:{listener.port}/")] += 1
    answers = iter([["127.0.0.1"], ["127.0.0.1"]])
    ends[_try(Outbound(resolver=lambda *_: next(answers)), f"http://rebound.test:{listener.port}/")] += 1
    connects, calls = list(CONNECTS), listener.calls
    allowed = Outbound(allow=("127.0.0.1/32",)).send(
        "GET", f"http://127.0.0.1:{listener.port}/", total_seconds=10
    )
    return {
        "urls": sum(ends.values()),
        "ends": ends,
        "connections": connects,
        "calls_heard": calls,
        "control_heard": listener.calls == 1,
        "redirect_not_followed": allowed.status == 302 and listener.calls == 1,
        "passed": not connects
        and not calls
        and listener.calls == 1
        and set(ends) <= {"url_forbidden", "url_unreachable"},
    }


def _try(outbound: Outbound, url: str) -> str:
    try:
        outbound.send("GET", url, total_seconds=5)
    except SentilocError as error:
        return str(error.code)
    return "answered"


def keys_row(work: Path) -> Row:
    """Try another key's job on every verb, guessed ids, and guessed keys."""
    work.mkdir(parents=True, exist_ok=True)
    with private_redis(work / "redis") as server:
        settings = Settings(redis_url=server.url, data_dir=work, api_keys="on", bad_keys_per_minute=20)
        with connect(settings) as redis, TestClient(create_app(settings)) as client:
            keys = KeyStore(redis, settings.redis_prefix)
            owner, other = (
                {
                    "Authorization": f"Bearer {keys.create(name, [Scope.READ, Scope.WRITE], rate_per_minute=0).text}"
                }
                for name in ("owner", "other")
            )
            made = client.post("/localize", files={"video": b"not a video"}, headers=owner)
            row = {
                **_foreign(client, other, made.json()["id"]),
                "guessed_ids": _guess_ids(client, other),
                "timing": _timing(keys),
                "guessed_keys": _guess_keys(client),
            }
    row["passed"] = (
        set(row["foreign"]) <= {"404", "422"}
        and not row["differs_from_a_job_that_is_not"]
        and set(row["guessed_ids"]) == {"404"}
        and row["guessed_keys"]["let_in"] == 0
        and row["guessed_keys"]["refused_by_rate"] > 0
    )
    return row


def _foreign(client: TestClient, headers: dict[str, str], job_id: str) -> Row:
    """Request every path of another key's job: the answer must equal that for a job that does not exist."""
    statuses: Counter[str] = Counter()
    differ = []
    # A problem names its request.
    headers = {**headers, "X-Request-ID": "the-same-each-time"}
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for method in operations if "{job_id}" in path else ():
            answers = [
                client.request(method, _filled(path, name), headers=headers, json={})
                for name in (job_id, "A" * len(job_id))
            ]
            statuses[str(answers[0].status_code)] += 1
            if answers[0].content != answers[1].content or answers[0].status_code != answers[1].status_code:
                differ.append(f"{method} {path}: {answers[0].status_code} {answers[1].status_code}")
    return {"foreign": dict(statuses), "differs_from_a_job_that_is_not": differ}


def _filled(path: str, job_id: str) -> str:
    """The path with its parameters: ids are this job's, everything else is 0."""
    return re.sub(r"\{(\w+)\}", lambda found: job_id if found[1].endswith("_id") else "0", path)


def _guess_ids(client: TestClient, headers: dict[str, str]) -> Row:
    paths = (f"/jobs/{secrets.token_urlsafe(16)}" for _ in range(200))
    return dict(Counter(str(client.get(path, headers=headers).status_code) for path in paths))


def _guess_keys(client: TestClient) -> Row:
    guesses = [f"sentiloc_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}" for _ in range(100)]
    statuses = [
        client.get("/jobs", headers={"Authorization": f"Bearer {guess}"}).status_code for guess in guesses
    ]
    return {
        "guesses": len(guesses),
        "let_in": sum(status < 400 for status in statuses),
        "refused_by_rate": statuses.count(429),
    }


def _timing(keys: KeyStore) -> Row:
    """Microseconds of checking a wrong secret, and a key that does not exist."""
    new = keys.create("timing", [Scope.READ], rate_per_minute=0)
    fields = {"digest": split_key(new.text)[1]}
    wrong = split_key(new.text[:-4] + "AAAA")[1]

    def median(record: dict[str, str]) -> float:
        times = []
        for _ in range(5000):
            started = time.perf_counter_ns()
            check_key(record, wrong)
            times.append(time.perf_counter_ns() - started)
        return round(statistics.median(times) / 1000, 2)

    return {"wrong_secret_us": median(fields), "no_such_key_us": median({})}


def main() -> None:
    """Run both proofs, and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("runs") / "gates")
    args = parser.parse_args()
    rows = {"outbound": outbound_row(), "keys": keys_row(args.work)}
    save(
        "gates",
        "python -m tests.proofs.gates",
        {**rows, "passed": all(row["passed"] for row in rows.values())},
    )


if __name__ == "__main__":
    main()

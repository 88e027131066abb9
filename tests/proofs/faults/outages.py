"""Row 2: `kill -9` of Redis and of the API while clients upload and poll."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.proofs.faults.rig import Ledger, Row, clip, ended_well, outcome, running
from tests.service.running import RunningService, kill

CLIENTS = 2
_RETRY_SECONDS = 120.0


@dataclass(slots=True)
class Client:
    """Uploads one video after another, each with an idempotency key, polls, and records every answer."""

    url: str
    video: bytes
    stop: threading.Event
    accepted: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    gave_up: int = 0

    def run(self) -> None:
        """Alternate an upload and some polls until stopped."""
        while not self.stop.is_set():
            job_id = self._upload(secrets.token_hex(8))
            if job_id is None:
                self.gave_up += 1
                continue
            self.accepted.append(job_id)
            for _ in range(50):
                self._ask("GET", f"/jobs/{job_id}")
                self.stop.wait(0.1)

    def _upload(self, key: str) -> str | None:
        deadline = time.monotonic() + _RETRY_SECONDS
        while time.monotonic() < deadline:
            answer = self._ask(
                "POST", "/localize", files={"video": self.video}, headers={"Idempotency-Key": key}
            )
            if answer is not None and answer.status_code == 202:
                return str(answer.json()["id"])
            time.sleep(0.3)
        return None

    def _ask(self, method: str, path: str, **request: object) -> httpx.Response | None:
        try:
            answer = httpx.request(method, f"{self.url}{path}", timeout=60.0, **request)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            self.answers[f"connection: {type(error).__name__}"] += 1
            return None
        problem = answer.json().get("code", "") if answer.status_code >= 400 else ""
        self.answers[f"{answer.status_code} {problem}".strip()] += 1
        return answer


def prove_redis(work: Path, kills: int) -> Row:
    """Kill Redis under load."""
    return _prove(work, "redis", kills)


def prove_api(work: Path, kills: int) -> Row:
    """Kill the API under load."""
    return _prove(work, "API", kills)


def _prove(work: Path, victim: str, kills: int) -> Row:
    ledger = Ledger(work / f"outage_{victim}.jsonl")
    while sum(row["kills"] for row in ledger.rows()) < kills:
        ledger.add(_round(work, victim, min(10, kills - sum(row["kills"] for row in ledger.rows()))))
    return _summary(ledger.rows())


def _round(work: Path, victim: str, kills: int) -> Row:
    """Kill one service several times, then follow every accepted job to its end."""
    chance = random.Random()
    video = clip(work, "moment.mp4", 0.4, size=(64, 48)).read_bytes()
    with running(work, f"outage_{victim}") as service:
        stop = threading.Event()
        clients = [Client(service.url, video, stop) for _ in range(CLIENTS)]
        threads = [threading.Thread(target=client.run) for client in clients]
        for thread in threads:
            thread.start()
        back = [_kill(service, victim, chance.uniform(2, 6)) for _ in range(kills)]
        stop.set()
        for thread in threads:
            thread.join()
        service.wait_ready()
        jobs = [outcome(service, job_id) for client in clients for job_id in client.accepted]
        answers: Counter[str] = sum((client.answers for client in clients), Counter())
        known = service.store().redis.zcard("sentiloc:jobs")
        parts = len(list(service.data.rglob("*.part")))
    return {
        "kills": kills,
        "accepted": len(jobs),
        "known_to_redis": known,
        "lost": [row for row in jobs if not ended_well(row)],
        "answers": answers,
        "gave_up": sum(client.gave_up for client in clients),
        "unfinished_files": parts,
        "back_seconds": back,
    }


def _kill(service: RunningService, victim: str, after: float) -> float:
    """Kill the process after a random time; returns the seconds until the service answers requests for jobs again."""
    time.sleep(after)
    kill(service.process(victim))
    started = time.monotonic()
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(f"{service.url}/jobs", timeout=60.0).status_code == 200:
                return round(time.monotonic() - started, 2)
        time.sleep(0.05)


def _summary(rows: list[Row]) -> Row:
    answers: Counter[str] = sum((Counter(row["answers"]) for row in rows), Counter())
    lost = [job for row in rows for job in row["lost"]]
    doubled = sum(row["known_to_redis"] - row["accepted"] for row in rows)
    back = sorted(seconds for row in rows for seconds in row["back_seconds"])
    unclear = {
        name: count
        for name, count in answers.items()
        if not name.startswith(("2", "503 redis_unavailable", "connection"))
    }
    return {
        "kills": sum(row["kills"] for row in rows),
        "accepted": sum(row["accepted"] for row in rows),
        "jobs_lost": len(lost),
        "lost": lost,
        "jobs_that_nobody_asked_for": doubled,
        "uploads_given_up": sum(row["gave_up"] for row in rows),
        "unfinished_files": sum(row["unfinished_files"] for row in rows),
        "answers": dict(answers),
        "unclear_answers": unclear,
        "seconds_until_back": {"median": back[len(back) // 2], "worst": back[-1]},
        "passed": not (lost or doubled or unclear),
    }

"""Load for a long outage: clients that send short clips under idempotency keys, and one that polls."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from enum import Enum
from types import TracebackType
from typing import Self

import httpx

SENDERS = 8
# Of one sender: together they send a clip every three seconds.
_EVERY_SECONDS = 24.0
_POLL_SECONDS = 1.0


class Phase(Enum):
    """When a request began and ended. `CHANGE` is for those that the stop or the return of the server may have met."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"
    CHANGE = "at_the_stop_or_return"


class Load:
    """Eight senders and a reader, from the beginning to the end of the context.

    A sender repeats a refused clip under its key after the seconds of `Retry-After`, until it is accepted. Then it
    waits for its next turn. The reader polls jobs that have not ended, and results that were readable.
    """

    def __init__(self, url: str, video: bytes) -> None:
        self._client = httpx.Client(base_url=url, timeout=60.0)
        self._video = video
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._clip_keys: list[str] = []
        self.phase = Phase.BEFORE
        self.jobs: dict[str, str] = {}
        self.succeeded: set[str] = set()
        self.answers = {phase: Counter[str]() for phase in Phase}
        works = [(self._send, (number,)) for number in range(SENDERS)]
        self._threads = [threading.Thread(target=work, args=args) for work, args in works]
        self._threads.append(threading.Thread(target=self._read))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def accepted(self) -> list[str]:
        """The jobs of all accepted clips."""
        with self._lock:
            return list(dict.fromkeys(self.jobs.values()))

    def refused(self) -> list[str]:
        """Keys of clips that have been sent and not yet accepted."""
        with self._lock:
            return [key for key in self._clip_keys if key not in self.jobs]

    def unclear(self) -> dict[str, int]:
        """Answers other than success and a typed 503 with `Retry-After`."""
        total = sum(self.answers.values(), Counter[str]())
        return {name: count for name, count in total.items() if not _is_clear(name)}

    def burst(self, count: int) -> None:
        """Post that many clips one after another."""
        for number in range(count):
            self._retry(f"burst-{number}")

    def post(self, key: str) -> str | None:
        """Send the clip under a key; returns its job, or None if it is refused."""
        return self._post(key)[0]

    def _send(self, number: int) -> None:
        turn = time.monotonic() + number * _EVERY_SECONDS / SENDERS
        count = 0
        while not self._stop.wait(max(0.0, turn - time.monotonic())):
            self._retry(f"clip-{number}-{count}")
            count += 1
            turn = max(turn + _EVERY_SECONDS, time.monotonic())

    def _retry(self, key: str) -> None:
        """Send a clip until it is accepted; also after the stop, because the server has returned then."""
        with self._lock:
            self._clip_keys.append(key)
        while True:
            job, pause = self._post(key)
            if job is not None:
                with self._lock:
                    self.jobs[key] = job
                return
            time.sleep(pause)

    def _post(self, key: str) -> tuple[str | None, float]:
        """The job, or None and the seconds of `Retry-After`."""
        answer = self._ask("submission", "POST", "/localize", key)
        if answer is None or answer.status_code != 202:
            return None, float(answer.headers.get("retry-after", "5")) if answer is not None else 1.0
        return str(answer.json()["id"]), 0.0

    def _read(self) -> None:
        rng = random.Random(0)
        while not self._stop.wait(_POLL_SECONDS):
            for job in [job for job in self.accepted if job not in self.succeeded][:3]:
                answer = self._ask("job", "GET", f"/jobs/{job}")
                if answer is not None and answer.status_code == 200 and answer.json()["state"] == "succeeded":
                    self.succeeded.add(job)
            if self.succeeded:
                self._ask("result", "GET", f"/jobs/{rng.choice(sorted(self.succeeded))}/result")

    def _ask(self, what: str, method: str, path: str, key: str | None = None) -> httpx.Response | None:
        """Send a request and count its answer. None if the connection broke."""
        began = self.phase
        try:
            answer = self._client.request(
                method,
                path,
                files={"video": self._video} if key else None,
                headers={"Idempotency-Key": key} if key else None,
            )
            name = f"{what} {_name(answer)}"
        except httpx.TransportError as error:
            answer, name = None, f"{what} {type(error).__name__}"
        with self._lock:
            self.answers[began if began is self.phase else Phase.CHANGE][name] += 1
        return answer


def _name(answer: httpx.Response) -> str:
    if answer.status_code < 400:
        return str(answer.status_code)
    untold = "" if "retry-after" in answer.headers else " without Retry-After"
    return f"{answer.status_code} {answer.json().get('code', 'without a code')}{untold}"


def _is_clear(name: str) -> bool:
    _, status, *rest = name.split(" ")
    return status in ("200", "202") or (status == "503" and len(rest) == 1)

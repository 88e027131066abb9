"""A rolling upgrade: the last release's API and worker beside today's, one process after the other, under load."""

from __future__ import annotations

import itertools
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from tests.proofs.faults.older import OLDER_RELEASE, OlderMember, checkout, older_environment
from tests.proofs.faults.rig import Row, clip, ended_well
from tests.support.fleet import Member
from tests.support.services import private_redis, sentiloc_environment, wait_for

# Enough for two workers, and so few that every phase sees jobs that are sent in it.
_OPEN_JOBS = 8
_PATIENCE_SECONDS = 600.0
_BEGINS, _ENDS = " begins: ", "succeeded with"
_FORMATS = ("json", "csv", "vtt", "otio", "fcpxml")
_QUICK = {"lease_seconds": 10, "reaper_interval_seconds": 2, "key_rate_per_minute": 100_000}


def prove_upgrade(work: Path, jobs: int) -> Row:
    """Starts with the last release alone, ends with today's alone; each worker is killed once at work meanwhile."""
    tree = checkout(work / "last_release")
    folder = work / "upgrade"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    video = clip(work, "moment.mp4", 0.4)
    with private_redis(folder / "redis") as redis:
        settings = {"redis_url": redis.url, "data_dir": folder / "data", **_QUICK}
        run = _Upgrade(folder, tree, sentiloc_environment(**settings), video, jobs)
        store = JobStore(connect(Settings(redis_url=redis.url, data_dir=folder / "data")))
        try:
            return run.go(store)
        finally:
            run.stop()


@dataclass
class _Upgrade:
    """The four processes, and a client that keeps some jobs open until all are accepted."""

    folder: Path
    tree: Path
    environment: dict[str, str]
    video: Path
    jobs: int
    apis: list[Member] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    allowed: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        older = older_environment(self.environment, self.tree)
        logs = {name: self.folder / f"{name}.log" for name in ("old-api", "old-worker", "api", "worker")}
        self.old_api = OlderMember("api", logs["old-api"], older)
        self.old_worker = OlderMember("worker", logs["old-worker"], older)
        self.api = Member("api", logs["api"], self.environment)
        self.worker = Member("worker", logs["worker"], self.environment)

    def go(self, store: JobStore) -> Row:
        """The whole upgrade, and what came of it."""
        began = time.monotonic()
        self.old_worker.start()
        self._join(self.old_api)
        sending = threading.Thread(target=self._send, args=(store,), daemon=True)
        sending.start()
        # The last release's API cannot read what today's results hold beyond its own.
        refused: list[str] = []
        steps: tuple[tuple[float, Callable[[], object]], ...] = (
            (0.2, lambda: self._join(self.api)),
            (0.3, self.worker.start),
            (0.4, lambda: self._replace(self.old_worker)),
            (0.5, lambda: self._replace(self.worker)),
            (0.6, lambda: refused.extend(self._unread(self.old_api, ("json",)))),
            (0.7, lambda: self._leave(self.old_api)),
            (0.8, self.old_worker.stop),
        )
        for share, step in steps:
            # Each step is taken while jobs are open.
            self.allowed = int(share * self.jobs) + _OPEN_JOBS
            self._wait_ended(store, int(share * self.jobs))
            step()
        self.allowed = self.jobs
        self._wait_ended(store, self.jobs)
        sending.join(_PATIENCE_SECONDS)
        unread = self._unread(self.api, _FORMATS)
        row = self._row(store, unread, time.monotonic() - began)
        return {**row, "refused_by_the_last_release_s_api": len(refused)}

    def stop(self) -> None:
        """End all processes."""
        for member in (self.old_api, self.old_worker, self.api, self.worker):
            member.stop()

    def _row(self, store: JobStore, unread: list[str], seconds: float) -> Row:
        ends = [self._end(store, job_id) for job_id in self.ids]
        lost = [row for row in ends if not ended_well(row)]
        by = {
            name: member.log.read_text(encoding="utf-8").count(_ENDS)
            for name, member in self._workers().items()
        }
        known = int(store.redis.zcard(f"{store.prefix}jobs"))
        return {
            "older": OLDER_RELEASE,
            "jobs": len(self.ids),
            "seconds": round(seconds),
            "answers": dict(self.answers),
            "ended_by": by,
            "attempts": dict(Counter(str(row["attempts"]) for row in ends)),
            "jobs_in_the_store": known,
            "lost": lost,
            "results_that_cannot_be_read": unread,
            "passed": not lost
            and not unread
            and known == len(set(self.ids)) == self.jobs
            and all(by.values()),
        }

    def _workers(self) -> dict[str, Member]:
        return {"last release": self.old_worker, "today's": self.worker}

    def _end(self, store: JobStore, job_id: str) -> Row:
        record = store.get(job_id)
        finals = [fields["state"] for _, fields in store.events(job_id) if fields["kind"] == "final"]
        # The worker deletes the provisional result just after the job has ended.
        results = [
            path
            for path in (self.folder / "data" / "results").glob(f"{job_id}.*.json")
            if not path.name.endswith(".partial.json")
        ]
        return {
            "id": job_id,
            "state": record.state if record else "gone",
            "attempts": record.attempt if record else 0,
            "finals": finals,
            "results": len(results),
        }

    def _join(self, api: Member) -> None:
        api.start()
        with httpx.Client(base_url=api.url, timeout=30) as client:
            wait_for(lambda: client.get("/readyz").status_code == 200, 120)
        self.apis.append(api)

    def _leave(self, api: Member) -> None:
        self.apis.remove(api)
        api.stop()

    def _replace(self, worker: Member) -> None:
        """Kill it at work, and start it again."""
        before = worker.log.read_text(encoding="utf-8").count(_ENDS)
        until = time.monotonic() + _PATIENCE_SECONDS
        # Without a pause, because such a job takes a third of a second.
        while not _is_at_work(worker, before) and time.monotonic() < until:
            pass
        worker.kill()
        worker.start()

    def _send(self, store: JobStore) -> None:
        """Send jobs to the APIs in turn, each under a key, until each is accepted."""
        turns = itertools.count()
        for number in range(self.jobs):
            wait_for(lambda: self._may_send(store), 6 * _PATIENCE_SECONDS)
            # Bytes that no cache knows.
            data = self.video.read_bytes() + b"\0\0\0\x18free" + secrets.token_bytes(16)

            def accepted(data: bytes = data, key: str = f"upgrade-{number}") -> str | None:
                return self._post(self.apis[next(turns) % len(self.apis)], data, key)

            self.ids.append(wait_for(accepted, 120))

    def _may_send(self, store: JobStore) -> bool:
        return len(self.ids) < self.allowed and len(self.ids) - self._ended(store) < _OPEN_JOBS

    def _post(self, api: Member, data: bytes, key: str) -> str | None:
        """The job's id; None if the answer is not clear, and the request must be repeated."""
        try:
            answer = httpx.post(
                f"{api.url}/localize",
                files={"video": ("a.mp4", data, "video/mp4")},
                headers={"Idempotency-Key": key},
                timeout=30,
            )
        except httpx.HTTPError as error:
            self.answers[type(error).__name__] += 1
            return None
        self.answers[str(answer.status_code)] += 1
        return str(answer.json()["id"]) if answer.status_code == 202 else None

    def _records(self, store: JobStore) -> list[JobRecord | None]:
        return store.get_many(list(self.ids))

    def _ended(self, store: JobStore) -> int:
        return sum(record is None or record.state.is_terminal for record in self._records(store))

    def _wait_ended(self, store: JobStore, count: int) -> None:
        wait_for(lambda: self._ended(store) >= count, 6 * _PATIENCE_SECONDS)

    def _unread(self, api: Member, formats: tuple[str, ...]) -> list[str]:
        """Results of ended jobs that this API cannot give."""
        with httpx.Client(base_url=api.url, timeout=30) as client:
            return [
                f"{job_id} {name} {answer.status_code}"
                for job_id in list(self.ids)
                if client.get(f"/jobs/{job_id}").json()["state"] == "succeeded"
                for name in formats
                if (answer := client.get(f"/jobs/{job_id}/result", params={"format": name})).status_code
                != 200
            ]


def _is_at_work(worker: Member, ended: int) -> bool:
    """True while it works on a job, once it has ended one since `ended`."""
    log = worker.log.read_text(encoding="utf-8")
    return log.count(_BEGINS) > log.count(_ENDS) > ended

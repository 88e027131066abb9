"""Row 18: workers of an older and of the current release together, and a model package that is replaced under load."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

from sentiloc.model.package import shipped_models_dir
from tests.proofs.faults.older import OLDER_RELEASE, checkout, older_command, older_environment
from tests.proofs.faults.rig import Row, clip, ended_well, outcome, running
from tests.service.running import RunningService, kill
from tests.support.services import wait_for

_NEXT_VERSION = "9.9.9"
_CAN_READ = ("json", "csv", "vtt", "otio", "fcpxml")


def prove_releases(work: Path, jobs: int) -> Row:
    """Workers of both releases share a queue; they are killed in turn while they work."""
    older_tree = checkout(work / "older")
    video = clip(work, "minute.mp4", 60.0, size=(160, 120))
    with running(work, "releases") as service, _older_worker(service, older_tree) as older:
        ids = [service.submit(video) for _ in range(jobs)]
        wait_for(lambda: _succeeded(older.log) >= 1, 300)
        kill(service.worker_child())
        wait_for(lambda: _succeeded(older.log) >= 2, 300)
        older.process.kill()
        ends = [outcome(service, job_id) for job_id in ids]
        unread = [name for job_id in ids for name in _CAN_READ if not _reads(service, job_id, name)]
        by_older = _succeeded(older.log)
    lost = [row for row in ends if not ended_well(row)]
    return {
        "older": OLDER_RELEASE,
        "jobs": jobs,
        "ended_by_the_older": by_older,
        "attempts": dict(Counter(str(row["attempts"]) for row in ends)),
        "lost": lost,
        "results_that_cannot_be_read": unread,
        "passed": not lost and not unread and 0 < by_older < jobs,
    }


def prove_replacement(work: Path, jobs: int) -> Row:
    """The package's files are replaced while jobs run; then the worker is replaced, too."""
    models = work / "models"
    shutil.rmtree(models, ignore_errors=True)
    shutil.copytree(shipped_models_dir(), models)
    shutil.rmtree(work / "fsenet-former", ignore_errors=True)
    following = _following(models / "fsenet-starter", work / "fsenet-following")
    video = clip(work, "moment.mp4", 3.0, size=(160, 120))
    with running(work, "replacement", models_dir=models) as service:
        ids: list[str] = []
        submitting = threading.Thread(target=_submit, args=(service, video, jobs, ids))
        submitting.start()
        wait_for(lambda: _succeeded(service.folder / "output") >= jobs // 4, 300)
        (models / "fsenet-starter").rename(work / "fsenet-former")
        following.rename(models / "fsenet-starter")
        wait_for(lambda: _succeeded(service.folder / "output") >= jobs // 2, 300)
        kill(service.process("worker"))
        submitting.join()
        # The package may have been replaced late, after all of these.
        _submit(service, video, 1, ids)
        ends = [outcome(service, job_id) for job_id in ids]
        answers = [service.client.get(f"/jobs/{job_id}/result") for job_id in ids]
    lost = [row for row in ends if not ended_well(row)]
    results = [answer.json() for answer in answers if answer.status_code == 200]
    curves = _curves(results)
    is_told_apart = (
        len(curves) == 2
        and all(len(kinds) == 1 for kinds in curves.values())
        and not set.intersection(*curves.values())
    )
    return {
        "jobs": len(ids),
        "results_by_version": dict(Counter(result["model"]["version"] for result in results)),
        "each_version_has_scores_of_its_own": is_told_apart,
        "lost": lost,
        "passed": not lost and is_told_apart,
    }


def _submit(service: RunningService, video: Path, jobs: int, ids: list[str]) -> None:
    ids.extend(service.submit(video) for _ in range(jobs))


def _curves(results: list[dict[str, Any]]) -> dict[str, set[str]]:
    """The distinct curves of each version for the same video."""
    curves = defaultdict(set)
    for result in results:
        curves[result["model"]["version"]].add(json.dumps(result["curve"], sort_keys=True))
    return curves


def _following(package: Path, folder: Path) -> Path:
    """The package's next version, whose network gives other scores: each weight is reduced by a tenth."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(package, folder)
    spec = json.dumps(
        {**json.loads((folder / "spec.json").read_text(encoding="utf-8")), "version": _NEXT_VERSION}
    )
    (folder / "spec.json").write_text(spec, encoding="utf-8")
    network = onnx.load(folder / "fsenet.onnx")
    onnx.helper.set_model_props(network, {"sentiloc.spec": spec})
    for weight in network.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype.kind == "f" and values.ndim > 1:
            weight.CopyFrom(numpy_helper.from_array(values * values.dtype.type(0.9), weight.name))
    onnx.save(network, folder / "fsenet.onnx")
    return folder


class _Worker:
    """A worker process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log


@contextmanager
def _older_worker(service: RunningService, tree: Path) -> Iterator[_Worker]:
    """A worker from another checkout, with the settings of the service's own worker."""
    raw = Path(f"/proc/{service.process('worker')}/environ").read_text(encoding="utf-8")
    settings = dict(line.split("=", 1) for line in raw.split("\0") if "=" in line)
    log = service.folder / "older.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            older_command("worker"),
            cwd=tree,
            env=older_environment(settings, tree),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _Worker(process, log)
    finally:
        process.terminate()
        process.wait(60)


def _succeeded(log: Path) -> int:
    return log.read_text(encoding="utf-8").count("succeeded with")


def _reads(service: RunningService, job_id: str, name: str) -> bool:
    return service.client.get(f"/jobs/{job_id}/result", params={"format": name}).status_code == 200

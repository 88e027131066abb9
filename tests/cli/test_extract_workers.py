"""`sentiloc extract` on many processes: real Celery workers, a real Valkey, processes that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from sentiloc.app.settings import Settings
from sentiloc.model.data.feature_store import VideoFacts, write_spec
from sentiloc.model.errors import KilledProcessError
from sentiloc.model.gim.spec import expression_spec
from sentiloc.worker.bulk import process
from sentiloc.worker.bulk.ledger import MOST_ATTEMPTS, Ledger, State
from sentiloc.worker.bulk.makers import BulkExtractor
from sentiloc.worker.bulk.queue import ExtractionQueue
from sentiloc.worker.jobs.owner import is_dead, new_owner
from tests.cli.extracted import Sentiloc
from tests.support.media import make_clip, repeat_video
from tests.support.services import private_redis, sentiloc_command, sentiloc_environment, wait_for

LONG_SECONDS = 600.0
END_SECONDS = 300.0


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short clips in a folder and its subfolder, one that is damaged, one that is empty."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "more").mkdir()
    for number, path in enumerate(("a.mp4", "b.mkv", "more/c.v2.mp4")):
        make_clip(folder / path, seconds=1.5 + number)
    whole = (folder / "a.mp4").read_bytes()
    (folder / "broken.mp4").write_bytes(whole[: len(whole) // 3])
    (folder / "empty.mp4").touch()
    return folder


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that takes long enough to be caught in the middle."""
    folder = tmp_path_factory.mktemp("long")
    make_clip(folder / "short.mp4", seconds=2)
    path = folder / "long" / "long.mp4"
    path.parent.mkdir()
    repeat_video(folder / "short.mp4", path, seconds=LONG_SECONDS)
    return path


def start(*arguments: object, **settings: object) -> subprocess.Popen[str]:
    command = sentiloc_command("extract", *map(str, arguments))
    return subprocess.Popen(
        command, env=sentiloc_environment(**settings), stderr=subprocess.PIPE, text=True, process_group=0
    )


def run(*arguments: object) -> tuple[int, str]:
    process = start(*arguments)
    _, errors = process.communicate(timeout=END_SECONDS)
    return process.returncode, errors


def owner_of(folder: Path, name: str, other_than: int = 0) -> Callable[[], int | None]:
    """The process that works on a video now."""

    def look() -> int | None:
        entry = Ledger(folder, "train").read(name)
        if entry is None or entry.state != State.STARTED:
            return None
        pid = int(entry.owner.rsplit("/", 3)[1])
        return pid if pid != other_than else None

    return look


def arrays(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.npy")}


def test_workers_write_the_files_of_one_process(clips: Path, tmp_path: Path) -> None:
    one, many = tmp_path / "one", tmp_path / "many"
    assert run(clips, "-o", one)[0] == 1
    code, errors = run(clips, "-o", many, "--workers", 2)
    assert code == 1
    assert "3 extracted, 0 already there, 2 failed" in errors
    assert arrays(one) == arrays(many)
    for file in ("fps_dict.json", "len_duration_dict.json", "extracted.json"):
        assert json.loads((one / file).read_text(encoding="utf-8")) == json.loads(
            (many / file).read_text(encoding="utf-8")
        )
    assert (many / "split_train.txt").read_text(encoding="utf-8").split() == ["a", "b", "c.v2"]
    rows = (many / "failed_train.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "video,code,reason"
    assert rows[1].startswith(f"{clips / 'broken.mp4'},corrupt_media,")
    assert rows[2].startswith(f"{clips / 'empty.mp4'},empty_file,")


def test_a_second_run_completes_the_first(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "broken.mp4"):
        (folder / name).write_bytes((clips / name).read_bytes())
    run(folder, "-o", tmp_path / "data", "--workers", 1)
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    (folder / "b.mkv").write_bytes((clips / "b.mkv").read_bytes())
    code, errors = run(folder, "-o", tmp_path / "data", "--workers", 1)
    assert (code, "1 extracted, 1 already there, 1 failed" in errors) == (1, True)
    assert all(path.stat().st_mtime_ns == time for path, time in first.items())
    broken = Ledger(tmp_path / "data", "train").read("broken")
    assert broken is not None
    assert broken.attempts == 1
    # A file that was replaced is tried again, and so is every failed one on demand.
    (folder / "broken.mp4").write_bytes((clips / "more" / "c.v2.mp4").read_bytes())
    code, errors = run(folder, "-o", tmp_path / "data", "--workers", 1)
    assert (code, "1 extracted, 2 already there, 0 failed" in errors) == (0, True)
    assert not (tmp_path / "data" / "failed_train.csv").exists()


def test_failed_videos_are_tried_again_on_demand(clips: Path, tmp_path: Path) -> None:
    run(clips / "empty.mp4", "-o", tmp_path)
    run(clips / "empty.mp4", "-o", tmp_path, "--retry-failed")
    entry = Ledger(tmp_path, "train").read("empty")
    assert entry is not None
    assert (entry.state, entry.attempts) == (State.FAILED, 1)


def test_only_failures_that_can_be_retried_have_the_hint(tmp_path: Path, sentiloc: Sentiloc) -> None:
    misnamed, other, data = tmp_path / "clip 1 .mp4", tmp_path / "other.mp4", tmp_path / "data"
    misnamed.touch()
    other.touch()
    code, _, errors = sentiloc("extract", misnamed, "-o", data)
    assert (code, "1 failed (see" in errors, "--retry-failed" in errors) == (1, True, False), errors
    ledger = Ledger(data, "train")
    ledger.fail("other", ledger.begin("other", other, "me"), "corrupt_media", "nothing decoded")
    code, _, errors = sentiloc("extract", misnamed, other, "-o", data)
    assert (code, "2 failed (see" in errors, "--retry-failed" in errors) == (1, True, True), errors


def test_the_video_of_a_killed_worker_is_extracted_by_another(
    clips: Path, long_clip: Path, tmp_path: Path
) -> None:
    process = start(long_clip, clips / "a.mp4", "-o", tmp_path, "--workers", 1)
    os.kill(wait_for(owner_of(tmp_path, "long"), END_SECONDS), signal.SIGKILL)
    _, errors = process.communicate(timeout=END_SECONDS)
    assert (process.returncode, "2 extracted" in errors) == (0, True), errors
    assert np.load(tmp_path / "features/train/present/long.npy").shape[0] >= LONG_SECONDS / 0.64 - 2
    assert (tmp_path / "split_train.txt").read_text(encoding="utf-8").split() == ["long", "a"]


def test_a_video_that_ends_every_worker_is_given_up(clips: Path, long_clip: Path, tmp_path: Path) -> None:
    process = start(long_clip, clips / "a.mp4", "-o", tmp_path, "--workers", 1)
    pid = 0
    for _ in range(MOST_ATTEMPTS):
        pid = wait_for(owner_of(tmp_path, "long", other_than=pid), END_SECONDS)
        os.kill(pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 1
    assert f"long.mp4: the process that extracted it ended {MOST_ATTEMPTS} times" in errors
    assert "1 extracted, 0 already there, 1 failed" in errors
    assert (tmp_path / "split_train.txt").read_text(encoding="utf-8").split() == ["a"]


def test_an_interrupted_run_resumes_and_blames_no_video(long_clip: Path, tmp_path: Path) -> None:
    process = start(long_clip, "-o", tmp_path, "--workers", 1)
    pid = wait_for(owner_of(tmp_path, "long"), END_SECONDS)
    os.kill(pid, signal.SIGSTOP)
    code, errors = run(long_clip, "-o", tmp_path)
    assert (code, "another `sentiloc extract` writes to it" in errors) == (1, True)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=END_SECONDS)
    assert (process.returncode, "stopped with 1 left" in errors) == (130, True), errors
    entry = Ledger(tmp_path, "train").read("long")
    assert entry is not None
    assert (is_dead(entry.owner), entry.attempts) == (True, 0)
    assert run(long_clip, "-o", tmp_path, "--workers", 1)[0] == 0


def test_a_run_without_workers_that_is_stopped_blames_no_video(long_clip: Path, tmp_path: Path) -> None:
    process = start(long_clip, "-o", tmp_path)
    wait_for(owner_of(tmp_path, "long"), END_SECONDS)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=END_SECONDS)
    assert process.returncode == 130
    entry = Ledger(tmp_path, "train").read("long")
    assert entry is not None
    assert (is_dead(entry.owner), entry.attempts) == (True, 0)


def test_a_video_whose_decoder_is_killed_is_tried_again(clips: Path, tmp_path: Path) -> None:
    class Killed:
        """A maker whose decoder is killed each time."""

        calls = 0

        def make(self, video: Path) -> tuple[VideoFacts, Callable[[str], None]]:
            self.calls += 1
            raise KilledProcessError("The decoder was killed from outside.")

    maker = Killed()
    entry = BulkExtractor(maker, Ledger(tmp_path, "train")).extract("a", clips / "a.mp4", new_owner())
    assert (entry.state, entry.code, maker.calls) == (State.FAILED, "poison", MOST_ATTEMPTS)


def leave_killed_run(folder: Path, url: str) -> None:
    """What an extraction leaves whose command was killed."""
    ExtractionQueue(Settings(redis_url=url), "killed").send(folder, "train", {"x": folder / "x.mp4"})
    (folder / "extraction").mkdir(parents=True)
    (folder / "extraction" / "run.json").write_text('{"run": "killed"}', encoding="utf-8")


def test_another_machine_joins_through_redis(long_clip: Path, clips: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with private_redis(tmp_path / "redis") as redis:
        leave_killed_run(data, redis.url)
        process = start(long_clip, clips / "a.mp4", "-o", data, "--workers", 1, redis_url=redis.url)
        pid = wait_for(owner_of(data, "long"), END_SECONDS)
        helper = start("--join", "-o", data, redis_url=redis.url)
        # The worker of the collecting command works on the long clip, so the other clip is the helper's.
        os.kill(pid, signal.SIGSTOP)
        wait_for((data / "features/train/present/a.npy").exists, END_SECONDS)
        os.kill(pid, signal.SIGCONT)
        assert process.wait(END_SECONDS) == 0
        assert helper.wait(END_SECONDS) == 0
        process.communicate()
        helper.communicate()
        with Redis.from_url(redis.url, decode_responses=True) as client:
            kept = list(client.scan_iter("*extract*"))
            # Late reports expire.
            assert all(client.ttl(key) > 0 for key in kept), kept
    assert (data / "split_train.txt").read_text(encoding="utf-8").split() == ["long", "a"]


def test_a_full_folder_stops_the_run(clips: Path, tmp_path: Path) -> None:
    """Every video would fail: none is blamed."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "features").write_text("in the way", encoding="utf-8")
    code, errors = run(clips / "a.mp4", "-o", data, "--workers", 1)
    assert code == 1
    assert f"{data}: cannot be written: " in errors
    assert "Traceback" not in errors
    assert not (data / "failed_train.csv").exists()


def test_networks_that_cannot_be_loaded_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a library raises: the video would otherwise be sent again and again."""

    def fail(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(process, "load_maker", fail)
    write_spec(tmp_path, expression_spec("flow", "1"))
    with private_redis(tmp_path / "redis") as redis:
        queue = ExtractionQueue(Settings(redis_url=redis.url), "run")
        process.extract_video(queue, tmp_path, "train", "a", tmp_path / "a.mp4")
        (report,) = queue.ended()
    assert (report["name"], report["state"]) == ("a", "stopped")
    assert "RuntimeError: no memory" in report["reason"]


def test_wrong_calls_are_refused(clips: Path, tmp_path: Path, sentiloc: Sentiloc) -> None:
    (tmp_path / "a.mp4").touch()
    code, _, errors = sentiloc("extract", clips, tmp_path / "a.mp4", "-o", tmp_path / "data")
    assert (code, "two videos have the name a: " in errors) == (1, True)
    code, _, errors = sentiloc("extract", "--join", "-o", tmp_path)
    assert (code, "--join needs SENTILOC_REDIS_URL" in errors) == (1, True)
    code, _, errors = sentiloc("extract", clips, "-o", tmp_path / "data", "--split", "../x")
    assert (code, "not a name of letters" in errors) == (2, True)

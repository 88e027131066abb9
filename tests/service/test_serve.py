"""`sentiloc serve` as a program: it starts, reports it, refuses a second instance, and leaves no process."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import cast

from sentiloc.model.weights import find_weights
from tests.service.running import START_SECONDS, RunningService
from tests.support.services import sentiloc_command, sentiloc_environment, wait_for
from tests.worker.tiny_networks import write_visual


def serve_again(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        sentiloc_command("serve", *flags),
        env=sentiloc_environment(),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def test_the_start_prints_the_address_and_the_upload_command(service: RunningService) -> None:
    assert f"curl -F video=@VIDEO.mp4 {service.url}/v1/localize" in service.output
    assert f"{service.url}/docs" in service.output


def test_a_second_one_is_refused_with_one_line(service: RunningService, tmp_path: Path) -> None:
    port = service.url.rpartition(":")[2]
    same_port = serve_again("--port", port, "--data-dir", str(tmp_path))
    assert same_port.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in same_port.stderr
    same_folder = serve_again("--port", "0", "--data-dir", str(service.data))
    assert same_folder.returncode == 1
    assert f"in use by another `sentiloc serve` (process {service.pid})" in same_folder.stderr
    assert len(same_port.stderr.splitlines()) == len(same_folder.stderr.splitlines()) == 1


def test_it_stops_without_waiting_for_its_jobs_and_keeps_them(
    own_service: RunningService, clips: Path
) -> None:
    service = own_service
    service.start()
    job_id = service.submit(clips / "long.mp4")
    service.wait_running(job_id)
    assert service.end(signal.SIGINT) == 0
    service.wait_gone()
    assert "Sentiloc has stopped." in service.output
    service.start()
    service.wait_running(job_id, attempt=2)  # the end came before the job's
    assert service.record(job_id).crashes == 0

    service.end(signal.SIGKILL)
    service.wait_gone()
    service.start()
    assert service.wait_ended(job_id)["state"] == "succeeded"
    assert service.finals(job_id) == ["succeeded"]


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    service = RunningService(tmp_path, model="no-such-model")
    service.launch()
    try:
        wait_for(lambda: "cannot localize yet" in service.output, START_SECONDS)
        service.client.base_url = service.url
        response = service.client.get("/readyz")
        assert response.status_code == 503
        assert "no-such-model" in response.json()["reasons"][0]
        assert response.json()["reasons"][0] in service.output
    finally:
        service.stop()


def test_a_quick_restart_does_not_report_workers_of_the_previous_run(tmp_path: Path) -> None:
    service = RunningService(tmp_path)
    service.start()
    service.stop()
    broken = RunningService(tmp_path, model="no-such-model")
    broken.launch()
    try:
        wait_for(lambda: "cannot localize yet" in broken.output, START_SECONDS)
        assert "Sentiloc is ready" not in broken.output
        # Silent reports are kept for more than a minute, so that of the first run would still be there.
        store = broken.store()
        assert len(cast("dict[str, str]", store.redis.hgetall(f"{store.prefix}workers"))) == 1
    finally:
        broken.stop()


def test_a_model_without_its_weights_is_refused_until_they_are_there(tmp_path: Path, clips: Path) -> None:
    """The worker lacks the weights of one package: jobs for it are refused at once, other jobs are done."""
    service = RunningService(tmp_path, cache_dir=tmp_path / "cache")
    service.start()
    try:
        refused = service.post(clips / "short.mp4", model="fsenet-i3d")
        assert (refused.status_code, refused.json()["code"]) == (503, "model_unavailable")
        assert "sentiloc weights pull i3d-kinetics" in refused.json()["detail"]
        assert service.wait_ended(service.submit(clips / "short.mp4"))["state"] == "succeeded"

        (tmp_path / "cache").mkdir(exist_ok=True)
        write_visual(tmp_path / "cache" / find_weights("i3d-kinetics").cached, dim=1024)
        job_id = wait_for(lambda: service.post(clips / "short.mp4", model="fsenet-i3d").json().get("id"))
        assert service.wait_ended(job_id)["state"] == "succeeded"
    finally:
        service.stop()

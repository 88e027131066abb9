"""`sentiloc serve` as a program: it starts, reports it, refuses a second instance, and leaves no process."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from sentiloc.model.weights import find_weights
from tests.service.running import RunningService
from tests.support.services import sentiloc_command, sentiloc_environment, wait_for
from tests.worker.tiny_networks import write_visual


def serve_again(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        sentiloc_command("serve", *flags),
        env=sentiloc_environment(),
        capture_output=True,
        text=True,
        timeout=60,
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


def test_it_is_quick_to_start_and_stop_and_keeps_its_jobs(own_service: RunningService, clips: Path) -> None:
    service = own_service
    assert service.start() < 30.0
    job_id = service.submit(clips / "long.mp4")
    service.wait_running(job_id)
    started = time.monotonic()
    assert service.end(signal.SIGINT) == 0
    assert time.monotonic() - started < 11.0
    assert service.left_over() == []
    assert "Sentiloc has stopped." in service.output
    service.start()
    assert service.job(job_id)["state"] not in ("failed", "cancelled")
    assert service.record(job_id).crashes == 0

    service.end(signal.SIGKILL)
    wait_for(lambda: service.left_over() == [], 5)
    service.start()
    assert service.wait_ended(job_id)["state"] == "succeeded"
    assert service.finals(job_id) == ["succeeded"]


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    service = RunningService(tmp_path, model="no-such-model")
    service.launch()
    try:
        wait_for(lambda: "cannot localize yet" in service.output)
        service.client.base_url = service.url
        response = service.client.get("/readyz")
        assert response.status_code == 503
        assert "no-such-model" in response.json()["reasons"][0]
        assert response.json()["reasons"][0] in service.output
    finally:
        service.stop()


def test_a_model_without_its_weights_is_refused_until_they_are_there(tmp_path: Path, clips: Path) -> None:
    """The worker lacks the weights of one package: jobs for it are refused at once, other jobs are done."""
    service = RunningService(tmp_path, cache_dir=tmp_path / "cache")
    service.start()
    try:
        asked_at = time.monotonic()
        refused = service.post(clips / "short.mp4", model="fsenet-i3d")
        assert time.monotonic() - asked_at < 30
        assert (refused.status_code, refused.json()["code"]) == (503, "model_unavailable")
        assert "sentiloc weights pull i3d-kinetics" in refused.json()["detail"]
        assert service.wait_ended(service.submit(clips / "short.mp4"))["state"] == "succeeded"

        (tmp_path / "cache").mkdir(exist_ok=True)
        write_visual(tmp_path / "cache" / find_weights("i3d-kinetics").cached, dim=1024)
        job_id = wait_for(lambda: service.post(clips / "short.mp4", model="fsenet-i3d").json().get("id"), 60)
        assert service.wait_ended(job_id)["state"] == "succeeded"
    finally:
        service.stop()

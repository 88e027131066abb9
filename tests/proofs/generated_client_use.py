"""Runs in the generated client's environment: `python generated_client_use.py PACKAGE SERVER VIDEO`."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any


def main(package: str, server: str, video: Path) -> dict[str, Any]:
    """Upload, poll, read the result; everything by the package's own functions and models."""

    def module(name: str) -> Any:
        return importlib.import_module(f"{package}.{name}")

    client = module("client").Client(base_url=server, raise_on_unexpected_status=True)
    models, files = module("models"), module("types")
    with video.open("rb") as payload, client as connected:
        form = models.LocalizeLocalizePostFilesBody(
            video=files.File(payload=payload, file_name=video.name, mime_type="video/mp4"),
            options=models.JobOptions(threshold=0.0),
        )
        job = module("api.jobs.localize_localize_post").sync(client=connected, body=form)
        states = [str(job.state)]
        while states[-1] not in ("succeeded", "failed", "cancelled"):
            time.sleep(0.5)
            job = module("api.jobs.follow_jobs_job_id_get").sync(job.id, client=connected)
            states += [str(job.state)] if str(job.state) != states[-1] else []
        result = module("api.results.result_jobs_job_id_result_get").sync(job.id, client=connected)
        problem = module("api.jobs.follow_jobs_job_id_get").sync("nobody", client=connected)
    return {
        "states": states,
        "threshold_echoed": job.options.threshold,
        "duration": result.video.duration,
        "curve_values": len(result.curve.positive),
        "segments": len(result.segments),
        "problem": problem.code,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))

"""Runs in the generated client's environment: `python use_openapi_python_client.py PACKAGE SERVER VIDEO`."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any


def main(package: str, server: str, video: Path) -> dict[str, Any]:
    """Upload, poll, read the result; all with the package's own functions and models."""

    def module(name: str) -> Any:
        return importlib.import_module(f"{package}.{name}")

    client = module("client").Client(base_url=server, raise_on_unexpected_status=True)
    models, files = module("models"), module("types")
    with video.open("rb") as payload, client as connected:
        form = models.LocalizeVideoBody(
            video=files.File(payload=payload, file_name=video.name, mime_type="video/mp4"),
            options=models.JobOptions(threshold=0.0),
        )
        job = module("api.jobs.localize_video").sync(client=connected, body=form)
        states = [str(job.state)]
        while states[-1] not in ("succeeded", "failed", "cancelled"):
            time.sleep(0.5)
            job = module("api.jobs.get_job").sync(job.id, client=connected)
            states += [str(job.state)] if str(job.state) != states[-1] else []
        result = module("api.results.get_result").sync(job.id, client=connected)
        problem = module("api.jobs.get_job").sync("nobody", client=connected)
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

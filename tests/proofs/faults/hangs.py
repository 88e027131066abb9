"""Row 8: work that uses the processor and never ends, in a real worker.

The model package's network contains an endless loop. ONNX Runtime runs it for ever without the interpreter's lock, so
only the missing progress shows that the job hangs. Once the job runs, the package is replaced by a correct one, which
the worker's next process loads.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from sentiloc.model.package import shipped_models_dir
from tests.proofs.faults.rig import Row, clip, ended_well, outcome, running
from tests.support.services import wait_for

BAR_SECONDS = 60.0
_PACKAGE = "fsenet-starter"


def prove_hang(work: Path, jobs: int) -> Row:
    """Each job's first attempt never ends. It must be retried within a minute, with the default settings."""
    models, video = work / "hung_models", clip(work, "moment.mp4", 3.0, size=(160, 120))
    rows = []
    for number in range(jobs):
        shutil.rmtree(models, ignore_errors=True)
        shutil.copytree(shipped_models_dir(), models)
        sound = models / _PACKAGE / "fsenet.onnx"
        _never_end(sound)
        with running(work, f"hang_{number}", models_dir=models, lease_seconds=30) as service:
            job_id = service.submit(video)
            wait_for(lambda: service.job(job_id)["state"] == "localizing", 60)  # noqa: B023
            started = time.monotonic()
            shutil.copy(shipped_models_dir() / _PACKAGE / "fsenet.onnx", sound.with_suffix(".new"))
            sound.with_suffix(".new").rename(sound)
            wait_for(lambda: service.record(job_id).attempt == 2, 300)  # noqa: B023
            retried = round(time.monotonic() - started, 1)
            rows.append({"retried_after_seconds": retried, **outcome(service, job_id)})
    late = [row for row in rows if row["retried_after_seconds"] > BAR_SECONDS]
    lost = [row for row in rows if not ended_well(row) or (row["attempts"], row["crashes"]) != (2, 1)]
    return {"jobs": jobs, "rows": rows, "bar_seconds": BAR_SECONDS, "passed": not late and not lost}


def _never_end(path: Path) -> None:
    """Make the network's first output depend on a loop whose condition stays true."""
    network = onnx.load(path)
    graph = network.graph
    wanted = graph.output[0].name
    for node in graph.node:
        node.output[:] = ["of_" + name if name == wanted else name for name in node.output]
        node.input[:] = ["of_" + name if name == wanted else name for name in node.input]
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    goes_on = helper.make_tensor_value_info("goes_on", TensorProto.BOOL, [])
    before = helper.make_tensor_value_info("before", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["goes_on"], ["still"]),
            helper.make_node("Cos", ["before"], ["after"]),
        ],
        "without_end",
        [turn, goes_on, before],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    graph.initializer.append(helper.make_tensor("always", TensorProto.BOOL, [], [True]))
    graph.node.append(helper.make_node("Loop", ["", "always", "of_" + wanted], [wanted], body=body))
    onnx.save(network, path)

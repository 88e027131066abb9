"""Give the network of an older detector package a grey input: `python -m recipes.starter.detector.grey FOLDER`.

Detectors that were exported earlier took RGB and computed the brightness in their first step. A grey input lets the
decoder leave the colours out. All weights stay the same; new exports (`export_onnx`) have a grey input from the start.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from sentiloc.worker.features.face_detection import GREY

_AXIS = "channel_axis"


def take_grey(package: Path) -> None:
    """Rewrite the network and the spec in folder `package`; raises ValueError if the network is no RGB one."""
    spec = json.loads((package / "spec.json").read_text("utf-8"))
    network = package / str(spec["network"])
    model = onnx.load(network)
    _replace_first_steps(model.graph)
    # Before the file is replaced: the package is rewritten in place.
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, network)
    spec["sha256"] = hashlib.sha256(network.read_bytes()).hexdigest()
    spec["input"] |= {"layout": "NHW", "colour": GREY}
    (package / "spec.json").write_text(json.dumps(spec, indent=2) + "\n", "utf-8")


def _replace_first_steps(graph: onnx.GraphProto) -> None:
    """Cast, multiplication with the shares of red, green and blue, transposition -> a new axis, cast."""
    image = graph.input[0]
    steps = _chain(graph, image.name)
    if [step.op_type for step in steps] != ["Cast", "MatMul", "Transpose"]:
        raise ValueError("not a detector that begins with RGB")
    del image.type.tensor_type.shape.dim[3]
    graph.initializer.append(helper.make_tensor(_AXIS, TensorProto.INT64, [1], [1]))
    added = helper.make_node("Unsqueeze", [image.name, _AXIS], ["image_with_channel"], name="add_channel")
    steps[0].input[0], steps[0].output[0] = added.output[0], steps[2].output[0]
    kept = [added, *(node for node in graph.node if node not in steps[1:])]
    weights = [one for one in graph.initializer if one.name != steps[1].input[1]]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights)


def _chain(graph: onnx.GraphProto, name: str, length: int = 3) -> list[onnx.NodeProto]:
    """The first steps from the value `name` on, each of which takes the result of the one before."""
    steps = []
    for _ in range(length):
        steps.append(next(node for node in graph.node if name in node.input))
        name = steps[-1].output[0]
    return steps


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    take_grey(parser.parse_args().package)

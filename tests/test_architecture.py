"""The house rules that a machine can check: imports go one way, heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "model": {"app", "worker", "cli", "fastapi", "celery", "redis"},
    "app": {"worker", "cli", "torch", "onnxruntime", "av", "cv2"},
    "worker": {"cli", "torch", "fastapi"},
    "sentiloc_client": {"app", "worker", "model", "cli", "pydantic", "numpy"},
}
LONGEST_FUNCTION = 80  # lines, with its signature: a command-line verb declares its options there
NUMPY_ONLY = (
    *(
        "spec",
        "segments",
        "proposals",
        "serving",
        "tsl300",
        "nms",
        "metrics",
        "diagnosis",
        "evaluate",
        "calibration",
    ),
    *("result", "package", "errors"),
    *("task_result", "spans", "cten/detect", "cten/inputs", "cten/benchmarks", "gim/spotting", "gim/spec"),
)


def imported_roots(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_imports_go_one_way(layer: str) -> None:
    found = {
        f"{path.relative_to(ROOT)} imports {root}"
        for path in (ROOT / layer).rglob("*.py")
        for root in set(imported_roots(path)) & FORBIDDEN[layer]
    }
    assert not found


def test_pure_model_modules_stay_pure() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "av", "cv2"}
    found = {name for name in NUMPY_ONLY if heavy & set(imported_roots(ROOT / "model" / f"{name}.py"))}
    assert not found


@pytest.mark.parametrize("entry", ["app.main", "worker.celery_app", "worker.tasks", "cli.main"])
def test_serving_does_not_load_torch(entry: str) -> None:
    script = f"import sys, {entry}; sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_functions_stay_small() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for layer in ("app", "cli", "model", "sentiloc_client", "worker")
        for path in (ROOT / layer).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= LONGEST_FUNCTION
    ]
    assert not long

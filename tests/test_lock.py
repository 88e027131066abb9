"""The lock file locks all requirements of `pyproject.toml` by hash, above versions with known vulnerabilities."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = {
    canonicalize_name(name): Version(version)
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", LOCK, re.MULTILINE)
}
# First versions without: CVE-2025-62727 and CVE-2025-54121; a denial of service by part headers; CVE-2025-43859.
FLOORS = {"starlette": "0.49.1", "python-multipart": "0.0.27", "h11": "0.16.0", "kombu": "5.5.0"}


IMAGE_LOCKS = ("build", "gpu", "gpu-host")
# As in the command that docs/security.md names.
IMAGE_EXTRAS = ("s3", "otel", "oidc")


def required() -> list[Requirement]:
    """What the images install: the requirements, and those of the extras that cannot be added to an image later."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [text for name in IMAGE_EXTRAS for text in project["optional-dependencies"][name]]
    return [Requirement(text) for text in (*project["dependencies"], *extras)]


@pytest.mark.parametrize("requirement", required(), ids=lambda requirement: str(requirement.name))
def test_every_requirement_is_locked(requirement: Requirement) -> None:
    locked = LOCKED.get(canonicalize_name(requirement.name))
    assert locked is not None, "run the command that docs/security.md names"
    assert locked in requirement.specifier


def test_every_version_has_a_hash_and_no_index_is_named() -> None:
    entries = re.split(r"\n(?=\S)", LOCK.strip())
    assert len(entries) >= len(LOCKED) > 40
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in LOCK
    assert "index-url" not in LOCK


@pytest.mark.parametrize("name", IMAGE_LOCKS)
def test_extra_packages_of_images_are_locked_and_compatible(name: str) -> None:
    text = (ROOT / "docker" / f"{name}.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    for package, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE):
        known = LOCKED.get(canonicalize_name(package))
        assert known is None or package == "numpy" or Version(version) == known, package


def test_images_install_only_locked_packages() -> None:
    script = (ROOT / "docker" / "install.sh").read_text(encoding="utf-8")
    installs = [line for line in script.splitlines() if re.match(r'\s*("\$\{PIP|pip).* install ', line)]
    assert len(installs) >= 4
    for line in installs:
        assert "--require-hashes" in line or "--no-deps" in line, line


@pytest.mark.parametrize("name", FLOORS)
def test_locked_versions_are_above_known_vulnerabilities(name: str) -> None:
    assert LOCKED[canonicalize_name(name)] >= Version(FLOORS[name])

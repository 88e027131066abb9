"""The installed package: complete, only `sentiloc` at the top level, and independent of other packages."""

from __future__ import annotations

import email
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from docs.tools.drawn_clip import draw_clip
from sentiloc.client import __version__ as client_version
from tests.support.environments import ROOT, Environment, build

FOREIGN = ("app", "cli", "client", "model", "worker")
LOCALIZE = (
    "import sys, sentiloc; r = sentiloc.load_model(threads=1).localize(sys.argv[1]); "
    "print(sentiloc.__file__, r.model.name, round(r.video.duration))"
)
NEEDED = (
    "app/jobs/options.py",
    "app/web/index.html",
    "cli/main.py",
    "client/synchronous/client.py",
    "exported/fsenet-starter/fsenet.onnx",
    "exported/expression/spec.json",
    "model/spec.py",
    "py.typed",
    "worker/decoder/child.py",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("environment"))
    environment.see_packages_of_tests()
    environment.install(str(wheel))
    return environment


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    draw_clip(path, 2.0)
    return path


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def write_foreign_packages(folder: Path) -> None:
    """Packages that share the names of Sentiloc's own folders, and cannot be imported."""
    for name in FOREIGN:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(
            f"raise RuntimeError('a foreign {name} was imported')\n", encoding="utf-8"
        )


def works(environment: Environment, clip: Path, cwd: Path | None = None, **variables: str) -> None:
    """The command and the Python API, from the installed package."""
    doctor = environment.run("-m", "sentiloc", "doctor", cwd=cwd, **variables)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    found = environment.run("-c", LOCALIZE, str(clip), cwd=cwd, **variables)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == [str(environment.site / "sentiloc/__init__.py"), "fsenet-starter", "2"]


def test_the_wheel_holds_one_package_with_all_its_files(wheel: Path) -> None:
    names = names_in(wheel)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"sentiloc"}
    assert {f"sentiloc/{name}" for name in NEEDED} <= names
    scripts = {f"sentiloc/{path.relative_to(ROOT)}" for path in (ROOT / "app").rglob("*.lua")}
    assert scripts <= names
    assert not [name for name in names if "/recipes/" in name or "/tests/" in name]


def test_the_wheel_states_the_terms_of_its_weights(wheel: Path) -> None:
    """Weights that only research may use are not under the licence of the code."""
    with zipfile.ZipFile(wheel) as archive:
        path = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(path))
    licensed = [f"{Path(path).parent}/licenses/{name}" for name in metadata.get_all("License-File", [])]
    assert metadata["License-Expression"] == "Apache-2.0 AND LicenseRef-Sentiloc-Weights"
    assert [name for name in licensed if name.endswith("exported/LICENSE")]
    assert set(licensed) <= names_in(wheel)


def test_the_sdist_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build(ROOT, tmp_path / "sdist", "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = next(path.parent for path in tmp_path.glob("*/pyproject.toml"))
    assert names_in(build(unpacked, tmp_path / "again")) == names_in(wheel)


def test_it_lives_beside_packages_of_the_same_names(
    environment: Environment, clip: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    write_foreign_packages(source)
    listed = ", ".join(f'"{name}"' for name in FOREIGN)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "dummy-house"\nversion = "1"\n'
        f"[tool.hatch.build.targets.wheel]\npackages = [{listed}]\n",
        encoding="utf-8",
    )
    environment.install(str(build(source, tmp_path / "dummy")))
    works(environment, clip)
    environment.pip("uninstall", "--yes", "dummy-house")
    assert not (environment.site / "model").exists()
    works(environment, clip)


def test_a_folder_of_the_same_names_on_the_path_does_no_harm(
    environment: Environment, clip: Path, tmp_path: Path
) -> None:
    write_foreign_packages(tmp_path)
    works(environment, clip, cwd=tmp_path, PYTHONPATH=".")


def test_it_can_be_installed_for_editing(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.see_packages_of_tests()
    environment.install("--editable", str(ROOT))
    found = environment.run("-c", "import sentiloc.app.main, sentiloc.client; print(sentiloc.__file__)")
    assert found.stdout.strip() == str(ROOT / "sentiloc/__init__.py"), found.stderr
    assert environment.run("-m", "sentiloc", "--version").returncode == 0


def test_a_checkout_without_links_gives_instructions(tmp_path: Path) -> None:
    (tmp_path / "sentiloc").mkdir()
    for path in (ROOT / "sentiloc").iterdir():
        if path.is_symlink():
            (tmp_path / "sentiloc" / path.name).write_text(str(path.readlink()), encoding="utf-8")
        elif path.is_file():
            shutil.copy(path, tmp_path / "sentiloc")
    for name in ("hatch_build.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for arguments in (["-m", "sentiloc", "serve"], ["-m", "hatchling", "build", "-t", "wheel"]):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert "no symbolic links" in done.stderr
        assert "WSL" in done.stderr


def test_the_client_has_the_version_of_the_api() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert client_version == project["version"]

"""What the images are built from is what the package is made of; the compose file is one, and as it is said to be.

`python -m tests.proofs.images` builds and runs them, without a container engine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.proofs.chroots import DEFAULT_PATH, Builder, Image
from tests.proofs.dockerfile import (
    DockerfileError,
    Step,
    copied_from,
    copy_words,
    exec_form,
    is_ignored,
    needed,
    pairs,
    parse,
)
from tests.proofs.images import compose

ROOT = Path(__file__).parents[1]
STAGES = parse((ROOT / "Dockerfile").read_text())
SERVICES = compose({})
ROLES = ("api", "worker", "gpu-worker")


def step(role: str, word: str) -> Step:
    return next(one for one in STAGES[role].steps if one.word == word)


def test_the_dockerfile_copies_every_package() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    copied = {
        source
        for one in STAGES["build"].steps
        if one.word == "COPY" and copied_from(one) is None
        for source in copy_words(one)[0]
    }
    assert set(build["targets"]["wheel"]["packages"]) | {"requirements.lock"} <= copied


def test_an_image_holds_nothing_of_the_tools_that_built_it() -> None:
    for role in ROLES:
        assert STAGES[role].base == "base"
        assert [one.word for one in STAGES[role].steps if one.word == "RUN"] == []
        assert [stage.name for stage in needed(STAGES, role)][:2] == ["base", "build"]


def test_a_dockerfile_is_read_as_docker_reads_it() -> None:
    stages = parse(
        "FROM a:1 AS one\n# note\nRUN x \\\n  # note\n  && y\nFROM one AS two\nCOPY --from=one /a /b\n"
    )
    assert stages["one"].steps == (Step("RUN", "x && y", 3),)
    assert (copied_from(stages["two"].steps[0]), copy_words(stages["two"].steps[0])) == (
        "one",
        (["/a"], "/b"),
    )
    assert pairs(Step("ENV", 'A=1 B="x y" C=$A:${D}', 1), {"A": "0"}) == {"A": "1", "B": "x y", "C": "0:"}
    assert exec_form(Step("HEALTHCHECK", '--interval=1s CMD ["a", "b c"]', 1)) == ["a", "b c"]


@pytest.mark.parametrize(
    "text",
    ["ADD a b", "FROM a AS b\nENTRYPOINT x", "FROM a", "FROM a AS b\nRUN x \\", "FROM a AS b\nONBUILD RUN x"],
)
def test_what_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(DockerfileError):
        parse(text)


@pytest.mark.parametrize("text", ["--chown=a b c", "a* b", "only"])
def test_forms_of_copy_that_are_not_known_are_refused(text: str) -> None:
    with pytest.raises(DockerfileError):
        copy_words(Step("COPY", text, 1))


def test_what_does_not_belong_into_an_image_is_left_out() -> None:
    patterns = (ROOT / ".dockerignore").read_text().split()
    assert is_ignored("app/__pycache__/main.pyc", patterns)
    assert is_ignored("__pycache__", patterns)
    assert is_ignored("tests/app/test_keys.py", patterns)
    assert not is_ignored("app/main.py", patterns)
    assert not is_ignored("model/tests_of_time.py", patterns)


def test_steps_run_in_order_in_a_root_of_their_own(tmp_path: Path) -> None:
    """The smallest root that a step can run in: this machine's shell with its libraries."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("pivot_root") is None:
        pytest.skip("needs root, unshare and pivot_root")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespaces")
    base = tmp_path / "base"
    for place in ("proc", "dev", "etc", "tmp"):
        (base / place).mkdir(parents=True)
    for folder in ("bin", "lib", "lib64", "usr"):
        (base / folder).mkdir()
    for program in ("/bin/sh", "/usr/bin/env", "/usr/bin/setpriv", "/bin/cat"):
        if not Path(program).exists():
            pytest.skip(f"needs {program}")
        _bring(Path(program), base)
    (base / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nsomeone:x:1234:1234::/:/bin/sh\n")
    (base / "etc/resolv.conf").touch()
    context = tmp_path / "context"
    context.mkdir()
    (context / "word").write_text("copied")
    (context / ".dockerignore").write_text(".git\n")
    stages = parse(
        "FROM base AS one\nWORKDIR /src\nCOPY word ./\nARG END=no\nRUN cat word > out && echo $END >> out\n"
        'FROM base AS two\nCOPY --from=one /src/out /out\nENV A=b\nUSER someone\nCMD ["cat", "/out"]\n'
    )
    (work := tmp_path / "work").mkdir()
    builder = Builder(
        context=context, work=work, bases={"base": base}, build_args={"END": "yes"}, build_env={}, files=()
    )
    images: dict[str, Image] = {}
    for stage in needed(stages, "two"):
        images[stage.name] = builder.build(stage, images)
    two = images["two"]
    assert (two.root / "out").read_text() == "copiedyes\n"
    assert not (two.root / "src").exists()
    assert (two.env, two.command, two.ids()) == (
        {"PATH": DEFAULT_PATH, "A": "b"},
        ["cat", "/out"],
        (1234, 1234),
    )
    with pytest.raises(RuntimeError, match="line 2 ended with 3"):
        builder.build(parse("FROM base AS bad\nRUN exit 3")["bad"], {})


def _bring(program: Path, root: Path) -> None:
    """A program with its libraries."""
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    for path in (str(program), *(word for word in said.split() if word.startswith("/"))):
        (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path.lstrip("/"))


def test_every_service_runs_with_as_little_as_it_needs() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        is_once = name in ("minio-volume", "bucket")
        assert is_once or (service["user"] != "root" and service["restart"] == "unless-stopped"), name
        assert is_once or service["healthcheck"]["test"][0] == "CMD", name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


def test_health_is_asked_the_same_way_with_and_without_compose() -> None:
    for role in ROLES:
        assert SERVICES[role]["healthcheck"]["test"][1:] == exec_form(step(role, "HEALTHCHECK"))
        assert SERVICES[role]["user"] == step(role, "USER").text


def test_redis_keeps_what_it_was_told() -> None:
    words = SERVICES["redis"]["command"]
    given = dict(zip(words[1::2], words[2::2], strict=True))
    assert given["--appendonly"] == "yes"
    assert (given["--appendfsync"], given["--maxmemory-policy"]) == ("always", "noeviction")
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]


def test_files_lie_in_minio_where_that_is_asked_for() -> None:
    lines = [line for line in (ROOT / "minio.env").read_text().splitlines() if line and line[0] != "#"]
    given = {**dict(line.split("=", 1) for line in lines), "AWS_SECRET_ACCESS_KEY": "of my own"}
    found: dict[str, Any] = compose(given)
    for role in (*ROLES, "bucket"):
        environment = found[role]["environment"]
        assert environment["SENTILOC_STORAGE_URL"] == "s3://sentiloc"
        assert environment["SENTILOC_STORAGE_ENDPOINT"] == "http://minio:9000"
        assert environment["AWS_SECRET_ACCESS_KEY"] == found["minio"]["environment"]["MINIO_ROOT_PASSWORD"]
    assert {name for name, one in found.items() if "minio" in one.get("profiles", ())} == {
        *("minio", "minio-volume", "bucket"),
    }
    assert SERVICES["api"]["environment"]["SENTILOC_STORAGE_URL"] is None


def test_compose_accepts_the_file() -> None:
    """By version 2 (`docker compose`); version 1 knows no top-level `name`, so it is given the rest."""
    text, command = (ROOT / "docker-compose.yml").read_text(), ["docker", "compose"]
    version = shutil.which("docker") and subprocess.run(
        [*command, "version"], capture_output=True, check=False
    )
    if not version or version.returncode:
        if shutil.which("docker-compose") is None:
            pytest.skip("neither `docker compose` nor `docker-compose` is installed")
        command = ["docker-compose"]
        text = "\n".join(line for line in text.splitlines() if not line.startswith("name:"))
    whole = ["--env-file", str(ROOT / "minio.env"), "--profile", "gpu", "--profile", "minio"]
    arguments = [*whole, "-f", "-", "--project-directory", str(ROOT), "config"]
    done = subprocess.run([*command, *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == set(SERVICES)

"""The images contain the package's files, and the compose file gives each service only what it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sentiloc.app.settings import Settings

ROOT = Path(__file__).parents[1]
ROLES = ("api", "worker", "gpu-worker")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
# The text of each stage by name.
STAGES = {
    part.splitlines()[0].split(" AS ")[1]: part for part in re.split(r"^FROM ", DOCKERFILE, flags=re.M)[1:]
}


def instructions(stage: str, word: str) -> list[str]:
    return re.findall(rf"^{word} (.*)", STAGES[stage], re.MULTILINE)


def compose(environment: dict[str, str]) -> dict[str, Any]:
    """The compose file's services, its ${NAME:-default} replaced."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: environment.get(found[1]) or found[2], text)
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


SERVICES = compose({})


def test_the_dockerfile_copies_all_that_the_package_is_made_of() -> None:
    copied = {word for line in instructions("build", "COPY") for word in line.split()[:-1]}
    linked = {path.readlink().parts[1] for path in (ROOT / "sentiloc").iterdir() if path.is_symlink()}
    assert {"sentiloc", "hatch_build.py", "requirements.lock", "docker/install.sh", *linked} <= copied
    ignored = set((ROOT / ".dockerignore").read_text(encoding="utf-8").split())
    assert not copied & ignored
    assert all((ROOT / name).exists() for name in copied)


def test_an_image_holds_nothing_of_the_tools_that_built_it() -> None:
    for role in ROLES:
        assert STAGES[role].startswith("base AS ")
        assert instructions(role, "RUN") == []


def test_something_clears_away_the_processes_that_a_worker_leaves_behind() -> None:
    """Each child of a worker has a process that forks decoders. It outlives the child, so nobody waits for its end."""
    assert yaml.safe_load(instructions("base", "ENTRYPOINT")[0]) == ["tini", "--"]
    assert any(re.search(r"apt-get install .*\btini\b", line) for line in instructions("base", "RUN"))
    # Neither the roles nor those who run them replace it.
    assert not [role for role in ROLES if instructions(role, "ENTRYPOINT")]
    assert not [name for name, service in SERVICES.items() if "entrypoint" in service]


@pytest.mark.parametrize(
    "script", ["docker/install.sh", "docker/pin_images.sh", "tests/proofs/image_steps.sh"]
)
def test_scripts_can_be_read_by_their_shell(script: str) -> None:
    shell = "sh" if script.startswith("docker") else "bash"
    assert subprocess.run([shell, "-n", ROOT / script], check=False).returncode == 0


def test_every_install_step_of_the_dockerfile_is_known() -> None:
    known = set(
        re.findall(r"^(\w+)\)$", (ROOT / "docker/install.sh").read_text(encoding="utf-8"), re.MULTILINE)
    )
    used = set(re.findall(r"sh install\.sh (\w+)", DOCKERFILE))
    assert used == known


def test_every_service_runs_with_as_little_as_it_needs() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pids_limit"] <= 1024, name
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        is_once = name in ("minio-volume", "bucket")
        assert is_once or (service["user"] != "root" and service["restart"] == "unless-stopped"), name
        assert is_once or service["healthcheck"]["test"][0] == "CMD", name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


def test_only_the_services_own_parts_reach_redis() -> None:
    there = {name for name, service in SERVICES.items() if "redis" in service.get("networks", ())}
    assert there == {*ROLES, "bucket", "redis"}
    assert SERVICES["redis"]["networks"] == ["redis"]
    assert all(SERVICES[role]["networks"] == ["default", "redis"] for role in ROLES)
    networks = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["networks"]
    assert networks["redis"] == {"internal": True}


def test_health_is_asked_the_same_way_with_and_without_compose() -> None:
    for role in ROLES:
        command = yaml.safe_load(instructions(role, "HEALTHCHECK")[0].partition("CMD ")[2])
        assert SERVICES[role]["healthcheck"]["test"][1:] == command
        assert SERVICES[role]["user"] == instructions(role, "USER")[0]


def test_every_foreign_image_can_be_named_by_digest(tmp_path: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    images = re.findall(r"^ +image: (.*)$", text, re.MULTILINE)
    assert len(images) == 3
    assert all(re.fullmatch(r"\$\{[A-Z_]+:-[^}]+\}", image) for image in images)
    # The real script, with a registry that knows one digest.
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\necho sha256:{'a' * 64}\n", encoding="utf-8")
    docker.chmod(0o755)
    pin = ["sh", str(ROOT / "docker" / "pin_images.sh")]
    done = subprocess.run(
        pin, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    pinned = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert set(pinned) == {"REDIS_IMAGE", "MINIO_IMAGE", "BASE_IMAGE"}
    found = compose(pinned)
    assert {found[name]["image"] for name in ("redis", "minio", "minio-volume")} == set(pinned.values())
    docker.write_text("#!/bin/sh\necho unknown\n", encoding="utf-8")
    failed = subprocess.run(pin, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, check=False)
    assert failed.returncode != 0 and not failed.stdout


@pytest.mark.parametrize("seconds", ["", "3600"])
def test_a_worker_may_take_as_long_to_stop_as_it_is_told_to(seconds: str) -> None:
    for role in ("worker", "gpu-worker"):
        service = compose({"SENTILOC_SHUTDOWN_GRACE_SECONDS": seconds})[role]
        given = service["environment"]["SENTILOC_SHUTDOWN_GRACE_SECONDS"]
        assert float(given) == float(seconds or Settings().shutdown_grace_seconds)
        assert service["stop_grace_period"] == f"1m{given}s"


def test_redis_keeps_what_it_was_told() -> None:
    words = SERVICES["redis"]["command"]
    given = dict(zip(words[1::2], words[2::2], strict=True))
    assert given["--appendonly"] == "yes"
    assert (given["--appendfsync"], given["--maxmemory-policy"]) == ("always", "noeviction")
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]
    # A full Redis refuses writes before the kernel kills it for its memory.
    limit = int(SERVICES["redis"]["mem_limit"].removesuffix("g")) * 1024
    assert int(given["--maxmemory"].removesuffix("mb")) <= 0.6 * limit


def test_files_lie_in_minio_where_that_is_asked_for() -> None:
    lines = [
        line
        for line in (ROOT / "minio.env").read_text(encoding="utf-8").splitlines()
        if line and line[0] != "#"
    ]
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
    text, command = (ROOT / "docker-compose.yml").read_text(encoding="utf-8"), ["docker", "compose"]
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

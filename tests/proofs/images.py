"""The images, built and run without a container engine: the Dockerfile's steps in order on a bare Debian root.

    debootstrap --variant=minbase bookworm BASE
    python -m tests.proofs.images --base BASE --work FOLDER --clip VIDEO [--build-env NAME=VALUE] \
        [--build-file HOST:PLACE]

as root. Redis comes from Debian's own package instead of the image that the compose file names; users, read-only
roots, volumes, tmpfs, environment, commands and health checks are the compose file's. `--cuda EXTRAS` is the
build argument of the GPU image, where the default leaves gigabytes of CUDA out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.proofs.chroots import Builder, Container, Image
from tests.proofs.dockerfile import DockerfileError, needed, parse

ROOT = Path(__file__).resolve().parents[2]
BASE_IMAGE = "debian:bookworm-slim"
TARGETS = ("api", "worker", "gpu-worker")
REDIS = f"""FROM {BASE_IMAGE} AS redis
RUN apt-get update && apt-get install -y --no-install-recommends redis-server
RUN install -d -o redis -g redis /data
WORKDIR /data
"""
_SECONDS = 300.0


def build_all(arguments: argparse.Namespace) -> tuple[dict[str, Image], list[dict[str, object]]]:
    """Every target, and Redis."""
    split = [pair.partition("=") for pair in arguments.build_env]
    builder = Builder(
        context=ROOT,
        work=arguments.work / "images",
        bases={BASE_IMAGE: arguments.base},
        build_args={"CUDA": arguments.cuda},
        build_env={name: value for name, _, value in split},
        files=tuple(arguments.build_file),
    )
    builder.work.mkdir(parents=True, exist_ok=True)
    stages = {**parse((ROOT / "Dockerfile").read_text()), **parse(REDIS)}
    images: dict[str, Image] = {}
    for target in (*TARGETS, "redis"):
        for stage in needed(stages, target):
            if stage.name not in images:
                images[stage.name] = builder.build(stage, images)
                print(f"built {stage.name}: {images[stage.name].mib} MiB", flush=True)
    return {name: images[name] for name in (*TARGETS, "redis")}, builder.seconds


def compose(environment: dict[str, str]) -> dict[str, Any]:
    """The compose file, its ${NAME:-default} replaced."""
    text = (ROOT / "docker-compose.yml").read_text()
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: environment.get(found[1]) or found[2], text)
    if "${" in text:
        raise DockerfileError("only ${NAME:-default} is known here")
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def container(name: str, service: dict[str, Any], images: dict[str, Image], folder: Path) -> Container:
    """A service as the compose file describes it; every name of another one is this machine's loopback."""
    kept = {
        "restart",
        "depends_on",
        "ports",
        "healthcheck",
        "stop_grace_period",
        "profiles",
        "deploy",
        "image",
    }
    used = {
        "build",
        "read_only",
        "tmpfs",
        "cap_drop",
        "security_opt",
        "user",
        "environment",
        "volumes",
        "command",
    }
    if unknown := set(service) - kept - used:
        raise DockerfileError(f"{name}: {', '.join(unknown)} is not known here")
    if service["cap_drop"] != ["ALL"] or service["security_opt"] != ["no-new-privileges:true"]:
        raise DockerfileError(f"{name}: runs with no capabilities here, the compose file says otherwise")
    image = images[service["build"]["target"] if "build" in service else name]
    volumes = [_volume(pair, image, folder) for pair in service["volumes"]]
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost redis api worker\n")
    (image.root / "etc/hosts").touch()
    return Container(
        name=name,
        image=image,
        command=service.get("command", image.command),
        env={key: str(value or "") for key, value in service.get("environment", {}).items()},
        user=service.get("user", image.user),
        read_only=service["read_only"],
        tmpfs=service.get("tmpfs", []),
        volumes=volumes,
        hosts=hosts,
        log=folder / f"{name}.log",
    )


def _volume(pair: str, image: Image, folder: Path) -> str:
    """A named volume; a new one gets the owner of the place that it covers, as with Docker."""
    name, place = pair.split(":")
    path, covered = folder / "volumes" / name, (image.root / place.lstrip("/")).stat()
    if not path.exists():
        path.mkdir(parents=True)
        os.chown(path, covered.st_uid, covered.st_gid)
    return f"{path}:{place}"


def await_health(running: Container, service: dict[str, Any]) -> float:
    """Seconds until the health check of the compose file passes."""
    began, test = time.monotonic(), service["healthcheck"]["test"]
    assert test[0] == "CMD"
    while time.monotonic() - began < _SECONDS:
        if running.process is None or running.process.poll() is not None:
            break
        if running.is_inside and running.run(test[1:]).returncode == 0:
            return round(time.monotonic() - began, 1)
        time.sleep(0.5)
    raise RuntimeError(f"{running.name} is not healthy: {running.log.read_text()[-3000:]}")


def privileges(running: Container) -> dict[str, Any]:
    """What its first process may do, and what writing to its root says."""
    status = Path(f"/proc/{running.pid}/status").read_text()
    found = dict(re.findall(r"^(Uid|CapEff|CapBnd|NoNewPrivs):\s+(\S+)", status, re.MULTILINE))
    written = running.run(["touch", "/opt/written"])
    return {**found, "write_to_root": written.stderr.strip().rpartition(": ")[2] or "worked"}


def serve(images: dict[str, Image], folder: Path, clip: Path) -> dict[str, Any]:
    """Start the services, make a key, send the clip, read the result, stop."""
    services = compose({})
    running = {name: container(name, services[name], images, folder) for name in ("redis", "api", "worker")}
    report: dict[str, Any] = {"healthy_after_seconds": {}}
    try:
        for name, one in running.items():
            one.start()
            report["healthy_after_seconds"][name] = await_health(one, services[name])
        report["privileges"] = {name: privileges(one) for name, one in running.items()}
        report["job"] = use(running["api"], clip)
    finally:
        grace = {"api": 10.0, "worker": 60.0, "redis": 10.0}
        started = {name: one for name, one in reversed(running.items()) if one.process is not None}
        report["exit_status"] = {name: one.stop(grace[name]) for name, one in started.items()}
    report["confinement"] = sorted(
        set(re.findall(r"the decoder runs without: .*", running["worker"].log.read_text()))
    )
    report["gpu_worker"] = try_gpu(images, folder, services)
    return report


def use(api: Container, clip: Path) -> dict[str, Any]:
    """What a client sees: refused without a key, a job with one."""
    made = api.run(["sentiloc", "keys", "create", "--name", "bench"])
    found = re.search(r"sentiloc_[\w-]+", made.stdout)
    if found is None:
        raise RuntimeError(made.stdout + made.stderr)
    base = "http://127.0.0.1:8000"
    refused = httpx.get(f"{base}/jobs").status_code
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {found[0]}"}, timeout=60) as client:
        began = time.monotonic()
        with clip.open("rb") as video:
            answer = client.post("/localize", files={"video": (clip.name, video)})
        answer.raise_for_status()
        job = answer.json()
        while (
            job["state"] not in ("succeeded", "failed", "cancelled") and time.monotonic() - began < _SECONDS
        ):
            time.sleep(0.2)
            job = client.get(f"/jobs/{job['id']}").json()
        took = round(time.monotonic() - began, 1)
        result = client.get(f"/jobs/{job['id']}/result").json()
        exported = client.get(f"/jobs/{job['id']}/result", params={"format": "fcp7"})
    return {
        "without_key": refused,
        "state": job["state"],
        "error": job["error"],
        "seconds": took,
        "video": result.get("video"),
        "segments": len(result.get("segments", ())),
        "model": result.get("model"),
        "fcp7": exported.status_code,
    }


def try_gpu(images: dict[str, Image], folder: Path, services: dict[str, Any]) -> dict[str, Any]:
    """The GPU worker starts, and where there is no GPU its health check says why it serves nothing."""
    parts = {name: container(name, services[name], images, folder) for name in ("redis", "gpu-worker")}
    try:
        parts["redis"].start()
        await_health(parts["redis"], services["redis"])
        worker = parts["gpu-worker"]
        worker.start()
        test, deadline, said = services["gpu-worker"]["healthcheck"]["test"][1:], time.monotonic() + 90, ""
        while time.monotonic() < deadline and "SENTILOC_DEVICE" not in said:
            time.sleep(1)
            if not worker.is_inside:
                continue
            done = worker.run(test)
            said = (done.stdout + done.stderr).strip()
            if done.returncode == 0:
                break
        providers = worker.run(
            ["python3", "-c", "import onnxruntime as o; print(*o.get_available_providers())"]
        )
        return {"health": said, "providers": providers.stdout.split()}
    finally:
        for one in reversed(parts.values()):
            if one.process is not None:
                one.stop(60)


def main() -> None:
    """Build here; serve in a network of its own, where no port is taken and nothing is reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--cuda", default="")
    parser.add_argument("--build-env", action="append", default=[])
    parser.add_argument("--build-file", action="append", default=[])
    parser.add_argument("--built", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "tests/proofs/results/images.json")
    arguments = parser.parse_args()
    if arguments.built is None:
        _build_then_serve(arguments)
        return
    known = json.loads(arguments.built.read_text())
    images = {
        name: Image(**{**fields, "root": Path(fields["root"])}) for name, fields in known["images"].items()
    }
    folder = arguments.work / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    report = {**known["report"], **serve(images, folder, arguments.clip.resolve())}
    print(json.dumps(report, indent=2))
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")


def _build_then_serve(arguments: argparse.Namespace) -> None:
    arguments.work, arguments.base = arguments.work.resolve(), arguments.base.resolve()
    images, steps = build_all(arguments)
    sizes = {name: image.mib for name, image in images.items() if name != "redis"}
    base = Image(arguments.base).mib
    fields = {
        name: {key: getattr(image, key) for key in ("env", "user", "workdir", "command")}
        | {"root": str(image.root)}
        for name, image in images.items()
    }
    built = arguments.work / "built.json"
    report = {"base_mib": base, "image_mib": sizes, "cuda": arguments.cuda, "steps": steps}
    built.write_text(json.dumps({"images": fields, "report": report}))
    again = [sys.executable, "-m", "tests.proofs.images", *sys.argv[1:], "--built", str(built)]
    script = 'ip link set lo up; exec "$@"'
    subprocess.run(["unshare", "--net", "sh", "-ec", script, "serve", *again], check=True, cwd=Path.cwd())


if __name__ == "__main__":
    main()

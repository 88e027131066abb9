"""Image builds and containers without a container engine: folders, mount namespaces, `pivot_root`. Needs root."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.proofs.dockerfile import (
    DockerfileError,
    Stage,
    Step,
    copied_from,
    copy_words,
    exec_form,
    expand,
    is_ignored,
    pairs,
)

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

_BUILD = """
root=$1; shift
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
for pair in $FILES; do
  mkdir -p "$(dirname "$root${pair#*:}")"; touch "$root${pair#*:}"; mount --bind "${pair%%:*}" "$root${pair#*:}"
done
exec chroot "$root" "$@"
"""

_CONTAINER = """
root=$1; shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
for name in $DEVICES; do touch "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
mkdir "$root/dev/shm"; mount -t tmpfs -o nosuid,nodev,noexec,size=64m tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
for place in $TMPFS; do mount -t tmpfs -o nosuid,nodev,noexec,mode=1777 tmpfs "$root$place"; done
for pair in $VOLUMES; do mount --bind "${pair%%:*}" "$root${pair#*:}"; done
mount --bind "$HOSTS" "$root/etc/hosts"
[ -z "$READ_ONLY" ] || mount -o remount,bind,ro "$root"
hostname "$NAME"
cd "$root"; pivot_root . .; umount -l .; cd /
exec "$@"
"""


@dataclass(slots=True)
class Image:
    """A root folder, and what a container of it is started with."""

    root: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": DEFAULT_PATH})
    args: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    workdir: str = "/"
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)

    @property
    def mib(self) -> int:
        """What its files take on disk."""
        done = subprocess.run(["du", "-sxk", str(self.root)], capture_output=True, text=True, check=True)
        return round(int(done.stdout.split()[0]) / 1024)

    def ids(self, user: str | None = None) -> tuple[int, int]:
        """User and group id, by the image's own /etc/passwd."""
        name = user or self.user
        if ":" in name:
            first, second = name.split(":")
            return int(first), int(second)
        lines = (self.root / "etc/passwd").read_text().splitlines()
        found = next(line.split(":") for line in lines if name in (line.split(":")[0], line.split(":")[2]))
        return int(found[2]), int(found[3])


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Runs a Dockerfile's stages in order. `files`: HOST:PLACE, seen while a RUN runs and not kept."""

    context: Path
    work: Path
    bases: dict[str, Path]
    build_args: dict[str, str]
    build_env: dict[str, str]
    files: tuple[str, ...]
    seconds: list[dict[str, object]] = field(default_factory=list)

    def build(self, stage: Stage, images: dict[str, Image]) -> Image:
        """The stage's image; raises RuntimeError with the end of the output of a step that fails."""
        root = self.work / stage.name
        if root.exists():
            shutil.rmtree(root)
        above = images.get(stage.base)
        if above is None and stage.base not in self.bases:
            raise DockerfileError(f"no root is known for {stage.base}")
        source = above.root if above else self.bases[stage.base]
        subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(root)], check=True)
        image = replace(above, root=root, env=dict(above.env), args={}) if above else Image(root)
        for step in stage.steps:
            began = time.monotonic()
            self._perform(step, image, images)
            took = round(time.monotonic() - began, 1)
            words = f"{step.word} {step.text}"[:100]
            self.seconds.append({"stage": stage.name, "line": step.line, "step": words, "seconds": took})
        return image

    def _perform(self, step: Step, image: Image, images: dict[str, Image]) -> None:
        known = {**image.args, **image.env}
        if step.word == "RUN":
            self._run(step, image)
        elif step.word == "COPY":
            self._copy(step, image, images)
        elif step.word == "ENV":
            image.env |= pairs(step, known)
        elif step.word == "ARG":
            name, _, default = step.text.partition("=")
            image.args[name] = self.build_args.get(name, default)
        elif step.word == "USER":
            image.user = expand(step.text, known)
        elif step.word == "WORKDIR":
            image.workdir = expand(step.text, known)
            (image.root / image.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.word == "VOLUME":
            image.volumes = [*image.volumes, step.text]
        elif step.word == "CMD":
            image.command = exec_form(step)
        elif step.word == "HEALTHCHECK":
            image.healthcheck = exec_form(step)

    def _run(self, step: Step, image: Image) -> None:
        if step.text.startswith(("--", "[", "<<")):
            raise DockerfileError(f"line {step.line}: only the shell's form of RUN is known here")
        env = {**image.env, **image.args, **self.build_env, "HOME": "/root"}
        uid, gid = image.ids()
        inner = ["/usr/bin/setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        inner += ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in env.items())]
        inner += ["/bin/sh", "-c", f"cd {shlex.quote(image.workdir)} && {step.text}"]
        done = subprocess.run(
            [*_unshared(), "sh", "-ec", _BUILD, "build", str(image.root), *inner],
            env={"PATH": DEFAULT_PATH, "FILES": " ".join(self.files)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        for pair in self.files:
            (image.root / pair.partition(":")[2].lstrip("/")).unlink(missing_ok=True)
        if done.returncode:
            raise RuntimeError(
                f"line {step.line} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}"
            )

    def _copy(self, step: Step, image: Image, images: dict[str, Image]) -> None:
        sources, place = copy_words(step)
        stage = copied_from(step)
        target = image.root / os.path.normpath(
            f"{image.workdir}/{place}" if place[0] != "/" else place
        ).lstrip("/")
        many = place.endswith("/") or len(sources) > 1
        for source in sources:
            path = images[stage].root / source.lstrip("/") if stage else self.context / source
            ignore = None if stage else self._ignore
            if path.is_dir():
                shutil.copytree(path, target, symlinks=True, ignore=ignore, dirs_exist_ok=True)
            else:
                end = target / path.name if many else target
                end.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, end)

    def _ignore(self, folder: str, names: list[str]) -> set[str]:
        patterns = (self.context / ".dockerignore").read_text().split()
        inside = Path(folder).relative_to(self.context)
        return {name for name in names if is_ignored((inside / name).as_posix(), patterns)}


def _unshared() -> list[str]:
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child"]


@dataclass(slots=True, kw_only=True)
class Container:
    """A service of the compose file, in namespaces of its own: mounts, processes, host name, messages."""

    name: str
    image: Image
    command: list[str]
    env: dict[str, str]
    user: str
    read_only: bool
    tmpfs: Sequence[str]
    volumes: Sequence[str]
    hosts: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start its command, with no capability at all, not even one to be gained."""
        settings = {
            "PATH": DEFAULT_PATH,
            "DEVICES": " ".join(_DEVICES),
            "TMPFS": " ".join(self.tmpfs),
            "VOLUMES": " ".join(self.volumes),
            "HOSTS": str(self.hosts),
            "READ_ONLY": "yes" if self.read_only else "",
            "NAME": self.name,
        }
        words = [*_unshared(), "--uts", "--ipc", "sh", "-ec", _CONTAINER, self.name, str(self.image.root)]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*words, *self._as_user(self.command)], env=settings, stdout=output, stderr=subprocess.STDOUT
            )

    def _as_user(self, command: Sequence[str]) -> list[str]:
        uid, gid = self.image.ids(self.user)
        env = [f"{name}={value}" for name, value in {**self.image.env, **self.env}.items()]
        return [
            *("/usr/bin/setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"),
            *("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"),
            *("/usr/bin/env", "-i", f"--chdir={self.image.workdir}", *env, *command),
        ]

    @property
    def pid(self) -> int | None:
        """The container's first process, as it is numbered outside; None when there is none."""
        assert self.process is not None
        try:
            path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            return int(path.read_text().split()[0])
        except (OSError, IndexError):
            return None

    @property
    def is_inside(self) -> bool:
        """True when that process is in its own root and has given up what it may do."""
        try:
            return "NoNewPrivs:\t1" in Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return False

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """As `docker compose exec`: a command in the running container, as its user."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--pid", "--root", "--wd"]
        words = [*enter, *self._as_user(command)]
        return subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)

    def stop(self, seconds: float) -> int | None:
        """SIGTERM to its first process, and its exit status; None when it had to be killed."""
        assert self.process is not None
        if self.process.poll() is None and (pid := self.pid) is not None:
            os.kill(pid, signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

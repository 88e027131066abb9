"""Playlists and references disguised as videos: none is opened, no other file is read, no packet is sent.

    python -m tests.proofs.disguises [--work runs/disguises]

Every text is tried under several names through the worker's decoder. inotify watches the file that it names, and
listeners on loopback have the addresses that it names. If `strace` is installed, the whole run is traced for opened
paths and network calls. As a control, the same texts are given to a plain `av.open`, which shows that the watch works.
A second layer is tested alone: the same libav options in a process without sandbox.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import av
import av.logging

from sentiloc.model.errors import SentilocError
from sentiloc.worker.decoder.decode import DecodeLimits, DecodeRequest, decode
from sentiloc.worker.decoder.source.accepted import FORMATS
from sentiloc.worker.decoder.source.opening import open_media
from tests.proofs.disguise_texts import disguised, plain_texts
from tests.proofs.faults.rig import Row, save
from tests.support.media import make_clip

LIMITS = DecodeLimits(threads=1, wall_seconds=120, stall_seconds=120)
REQUEST = DecodeRequest(face_samples=(4,), audio_rate=16_000)
SUFFIXES = (".mp4", ".m3u8", ".ffconcat", ".sdp", ".mpd")
_IN_ACCESS, _IN_OPEN = 1, 32
_CALLS = "trace=%network,open,openat,openat2"


class Watch:
    """Detects whether a file is opened and whether two addresses are called."""

    def __init__(self, folder: Path) -> None:
        self.secret = folder / "secret.mp4"
        if not self.secret.exists():
            make_clip(self.secret, seconds=0.2)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = self._libc.inotify_init1(os.O_NONBLOCK)
        self._libc.inotify_add_watch(self._inotify, bytes(self.secret), _IN_ACCESS | _IN_OPEN)
        self._web = socket.create_server(("127.0.0.1", 0))
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 0))
        self._datagrams.setblocking(False)
        self._calls = 0
        self._thread = threading.Thread(target=self._answer, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._web.shutdown(socket.SHUT_RDWR)
        self._web.close()
        self._datagrams.close()
        os.close(self._inotify)

    @property
    def texts(self) -> dict[str, bytes]:
        """All disguises that refer to the watched file and addresses."""
        web = f"http://127.0.0.1:{self._web.getsockname()[1]}"
        datagrams = f"127.0.0.1:{self._datagrams.getsockname()[1]}"
        places = (str(self.secret), web, datagrams)
        return {**plain_texts(*places), **disguised(*places)}

    def seen(self) -> Row:
        """Events since the last call."""
        opened, packets = 0, 0
        with suppress(BlockingIOError):
            opened = len(os.read(self._inotify, 65_536)) // 16
        with suppress(BlockingIOError):
            while self._datagrams.recv(65_536):
                packets += 1
        calls, self._calls = self._calls, 0
        return {"other_files_read": opened, "connections": calls, "datagrams": packets}

    def _answer(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._web.accept()
                self._calls += 1
                client.sendall(b"HTTP/1.0 404 Not Found\r\n\r\n")
                client.close()


def try_all(
    watch: Watch, folder: Path, attempt: Callable[[Path], str], suffixes: Sequence[str] = SUFFIXES
) -> Row:
    """Try every text under every name; returns the outcomes and the observed events."""
    ends: Counter[str] = Counter()
    opened = []
    watch.seen()
    for name, text in watch.texts.items():
        for suffix in suffixes:
            path = folder / f"clip{suffix}"
            path.write_bytes(text)
            end = attempt(path)
            ends[end] += 1
            if end == "opened":
                opened.append(name + suffix)
    return {
        "texts": len(watch.texts),
        "tries": sum(ends.values()),
        "ends": ends,
        "opened": opened,
        **watch.seen(),
    }


def as_served(path: Path) -> str:
    """Open through the sniffer and the sandboxed decoder."""
    try:
        list(decode(path, REQUEST, LIMITS))
    except SentilocError as error:
        return str(error.code)
    return "opened"


def by_options_alone(path: Path) -> str:
    """Open with the decoder's libav options in this process, with each allowed demuxer; no sniffer, no sandbox."""
    for name in FORMATS.split(","):
        with path.open("rb", buffering=0) as file, suppress(Exception):
            media = open_media(file, name, LIMITS)
            if any(True for _ in media.container.decode(media.video)):
                return "opened"
    return "refused"


def plainly(path: Path) -> str:
    """Open with PyAV's default options."""
    with suppress(Exception), av.open(str(path), timeout=2) as container:
        if any(True for _ in container.decode(video=0)):
            return "opened"
    return "refused"


def prove(folder: Path, with_control: bool = True) -> Row:
    """Test both layers, and the control."""
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    av.logging.set_level(None)
    with Watch(folder) as watch:
        rows = {"as_served": try_all(watch, folder, as_served)}
        rows["by_options_alone"] = try_all(watch, folder, by_options_alone)
        if with_control:
            rows["control_plain_pyav"] = try_all(watch, folder, plainly)
    return rows


def is_closed(row: Row) -> bool:
    """Whether nothing was opened, read or called."""
    return not (row["opened"] or row["other_files_read"] or row["connections"] or row["datagrams"])


def traced(folder: Path) -> Row:
    """Run under strace; returns internet sockets and opens of the watched file, in decoder and worker."""
    if shutil.which("strace") is None:
        return {"skipped": "strace is not installed"}
    log = folder / "trace"
    command = [
        "strace",
        "-f",
        "-qq",
        "-e",
        _CALLS,
        "-o",
        str(log),
        sys.executable,
        "-m",
        "tests.proofs.disguises",
    ]
    subprocess.run(
        [*command, "--untraced", "--work", str(folder / "traced")], check=True, capture_output=True
    )
    lines = log.read_text(errors="replace", encoding="utf-8").splitlines()
    asked = [
        line for line in lines if re.search(r"socket\(AF_INET|connect\(.*AF_INET|sendto\(.*AF_INET", line)
    ]
    own = [line for line in asked if re.search(r"socket\(AF_INET6?, SOCK_(STREAM|DGRAM)", line)]
    # One listener for each of the two addresses is this command's own.
    return {
        "lines": len(lines),
        "internet_sockets_beside_the_two_listeners": len(own) - 2,
        "connects_or_datagrams": len(asked) - len(own),
        "opens_of_the_other_file_after_it_was_made": sum(
            "secret.mp4" in line and "O_RDONLY" in line for line in lines
        ),
    }


def main() -> None:
    """Run and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("runs") / "disguises")
    parser.add_argument("--untraced", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    rows = prove(args.work, with_control=not args.untraced)
    passed = is_closed(rows["as_served"]) and is_closed(rows["by_options_alone"])
    if args.untraced:
        return
    trace = traced(args.work)
    control = rows["control_plain_pyav"]
    sees = control["other_files_read"] > 0
    save(
        "disguises",
        "python -m tests.proofs.disguises",
        {**rows, "traced": trace, "control_sees": sees, "passed": passed},
    )


if __name__ == "__main__":
    main()

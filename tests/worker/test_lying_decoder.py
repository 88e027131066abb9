"""A compromised decoder may send anything: the parent accepts nothing outside its bounds."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder import channel
from sentiloc.worker.decoder.decode import decode
from sentiloc.worker.decoder.process import DecoderProcess
from sentiloc.worker.decoder.request import DecodeLimits, DecodeRequest
from tests.support.media import make_clip

REQUEST = DecodeRequest(face_samples=(0,), audio_rate=16000, still_side=32)
LIMITS = DecodeLimits(max_duration_seconds=2.0, max_frame_rate=60.0)
INFO: dict[str, Any] = {
    "duration": 2.0,
    "fps": 25.0,
    "width": 64,
    "height": 48,
    "has_audio": True,
    "start_timecode": None,
    "timebase": "25",
    "variable_rate": False,
    "drop_frame": None,
    "audio_track": None,
}
END: dict[str, Any] = {
    "duration": 2.0,
    "snippets": 4,
    "frames": 50,
    "samples": 32000,
    "fps": 25.0,
    "timebase": "25",
    "variable_rate": False,
    "first_picture": 0.2,
    "warnings": [],
}
SNIPPET: dict[str, Any] = {
    "index": 0,
    "slot": 0,
    "faces": [1, 48, 64],
    "narrow": [False],
    "visual": False,
    "begins_shot": False,
    "still": [24, 32],
}
_SPEAK = "import os, sys; os.write(int(sys.argv[1]), bytes.fromhex(sys.argv[2]) * int(sys.argv[3]))"


def message(kind: bytes, fields: object, payload: bytes = b"") -> bytes:
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return channel.HEADER.pack(kind, len(text), len(payload)) + text + payload


@pytest.fixture(scope="module", name="clip")
def _clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    make_clip(path, seconds=1)
    return path


def outcome(
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    *messages: bytes,
    times: int = 1,
    on_wait: Callable[[], None] | None = None,
) -> SentilocError | None:
    """The outcome of a decode whose child sends these messages so many times and ends."""

    def start(task: dict[str, Any], fds: dict[str, int]) -> subprocess.Popen[bytes]:
        said = b"".join(messages).hex()
        command = [sys.executable, "-S", "-c", _SPEAK, str(task["out_fd"]), said, str(times)]
        return subprocess.Popen(command, pass_fds=tuple(fds.values()), process_group=0)

    monkeypatch.setattr(DecoderProcess, "start_child", staticmethod(start))
    try:
        list(decode(clip, REQUEST, LIMITS, on_wait))
    except SentilocError as error:
        return error
    return None


def test_an_honest_child_is_believed(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = message(channel.AUDIO, {"start": 0}, struct.pack("<4f", 0, 0.5, -0.5, 0))
    said = (message(channel.INFO, INFO), message(channel.SNIPPET, SNIPPET), sound, message(channel.END, END))
    assert outcome(clip, monkeypatch, *said) is None


LIES: dict[str, bytes] = {
    **{
        f"info {name} {value!r}"[:60]: message(channel.INFO, {**INFO, name: value})
        for name, value in (
            *(("fps", "<script>"), ("fps", 0), ("fps", 1e9), ("fps", True), ("duration", float("inf"))),
            *(
                ("duration", -1),
                ("duration", float("nan")),
                ("duration", 1e12),
                ("width", 0),
                ("width", 10**9),
            ),
            *(
                ("height", 1.5),
                ("timebase", "1/0"),
                ("timebase", "7"),
                ("timebase", float("inf")),
                ("start_timecode", "<b>"),
                ("start_timecode", "\u0661\u0660:00:00:00"),
                ("has_audio", 1),
            ),
            *(("audio_track", {"numbers": [1]}), ("audio_track", 5), ("extra", 1)),
        )
    },
    **{
        f"end {name} {value!r}"[:60]: message(channel.END, {**END, name: value})
        for name, value in (
            *(
                ("snippets", 10**15),
                ("snippets", -1),
                ("snippets", 1.5),
                ("frames", 10**18),
                ("samples", 10**15),
            ),
            *(("fps", "fast"), ("duration", float("inf")), ("variable_rate", "no"), ("timebase", "1/0")),
            *(("first_picture", -1.0), ("first_picture", float("nan")), ("first_picture", 10**9)),
            *(
                ("warnings", [{"code": "x", "detail": "\x1b[31m"}]),
                ("warnings", [{"code": "x", "detail": "y" * 999}]),
            ),
            *(("warnings", 5), ("warnings", [{"code": "x", "detail": "y", "start": -5}])),
        )
    },
    **{
        f"snippet {name} {value!r}": message(channel.SNIPPET, {**SNIPPET, name: value})
        for name, value in (
            *(("index", 10**15), ("index", -1), ("slot", 9), ("slot", -1), ("faces", [1, 10**6, 10**6])),
            *(("faces", [2, 48, 64]), ("faces", [1, 48]), ("faces", "abc")),
            *(("still", [24, 33]), ("still", [0, 32]), ("still", [24]), ("still", None), ("still", [-1, 2])),
            *(("visual", 1), ("begins_shot", None)),
            *(("narrow", []), ("narrow", [2]), ("narrow", 1), ("narrow", [False] * 9)),
        )
    },
    "sound that starts too late": message(channel.AUDIO, {"start": 10**15}, bytes(4)),
    "sound that is no number": message(channel.AUDIO, {"start": 0}, struct.pack("<f", float("nan"))),
    "sound of which squares are infinite": message(channel.AUDIO, {"start": 0}, struct.pack("<f", 3e38)),
    "sound of three bytes": message(channel.AUDIO, {"start": 0}, bytes(3)),
    "measures that are a number": message(channel.CONFINED, {"measures": 5}),
    "no measures": message(channel.CONFINED, {}),
    "deep json": message(channel.INFO, b"[" * 16000),
    "no json": message(channel.INFO, b"{"),
    "a list": message(channel.INFO, []),
    "an unknown kind": message(b"?", {}),
    "a huge size": channel.HEADER.pack(channel.INFO, 2**31, 0),
    "an error with a forged code": message(channel.ERROR, {"code": "cancelled", "detail": "x"}),
    "an error with markup": message(channel.ERROR, {"code": "no_video", "detail": "\u202e\n"}),
    "an error without words": message(channel.ERROR, {}),
    "an error that is a list": message(channel.ERROR, {"code": ["no_video"], "detail": ["x"]}),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_is_corrupt_media(clip: Path, monkeypatch: pytest.MonkeyPatch, lie: bytes) -> None:
    error = outcome(clip, monkeypatch, lie)
    assert error is not None
    assert (error.code, error.detail) == (
        ErrorCode.CORRUPT_MEDIA,
        "The video is corrupt and could not be decoded.",
    )


@pytest.mark.parametrize(
    "repeated",
    [message(channel.SNIPPET, SNIPPET), message(channel.AUDIO, {"start": 0}, bytes(4 * 8000))],
    ids=["snippets", "sound"],
)
def test_more_than_any_video_has_is_corrupt_media(
    clip: Path, monkeypatch: pytest.MonkeyPatch, repeated: bytes
) -> None:
    error = outcome(clip, monkeypatch, repeated, times=400)
    assert error is not None
    assert error.code == ErrorCode.CORRUPT_MEDIA


def test_missing_measures_are_logged_once(
    clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    error = outcome(clip, monkeypatch, message(channel.CONFINED, {"measures": []}), times=400)
    assert error is not None
    assert error.code == ErrorCode.CORRUPT_MEDIA
    assert sum("runs without" in record.message for record in caplog.records) == 1


def test_ticks_without_end_do_not_stop_a_cancellation(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class CancelledError(Exception):
        pass

    def cancel() -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        outcome(clip, monkeypatch, message(channel.TICK, {}), times=400, on_wait=cancel)

"""Decodes untrusted video into snippets and sound: one streaming pass in a sandboxed child process.

Time 0 is the first video frame that can be decoded, whatever its timestamp.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.segments import VideoInfo
from sentiloc.worker.decoder import channel
from sentiloc.worker.decoder.events import (
    AudioChunk,
    Bounds,
    EndOfMedia,
    Pictures,
    SnippetFrames,
    read_audio,
    read_count,
    read_end,
    read_info,
)
from sentiloc.worker.decoder.levels import widen
from sentiloc.worker.decoder.process import DecoderProcess, Message
from sentiloc.worker.decoder.request import MAX_FACE_SIDE, DecodeLimits, DecodeRequest
from sentiloc.worker.decoder.source.containers import (
    ENCRYPTED,
    SNIFF_BYTES,
    is_encrypted,
    refusal,
    sniff_container,
)

__all__ = [
    "AudioChunk",
    "DecodeLimits",
    "DecodeRequest",
    "EndOfMedia",
    "Pictures",
    "SnippetFrames",
    "VideoInfo",
    "decode",
    "grab_frame",
    "grab_frames",
]

Event = VideoInfo | SnippetFrames | AudioChunk | EndOfMedia
_CORRUPT = "The video is corrupt and could not be decoded."


def decode(
    path: Path,
    request: DecodeRequest,
    limits: DecodeLimits,
    on_wait: Callable[[], None] | None = None,
    *,
    keeps: int = 0,
) -> Generator[Event, None, None]:
    """Yield VideoInfo, then SnippetFrames and AudioChunks in the order of time, then EndOfMedia.

    T = ceil(grid frames / snippet_frames), at least 1; the last snippet repeats the last frame. Audio may end before or
    after the video, or be missing although announced (a damaged track). The duration of VideoInfo is what the container
    claims; that of EndOfMedia is measured. Closing the generator kills the decoder at once. So does an exception from
    `on_wait`, which is called about 4 times a second while waiting. Use it from one thread only.

    Faces are read-only. Faces of up to `keeps` snippets at a time lie in the memory that is shared with the decoder,
    without a copy; that memory is reused once nothing refers to them. Faces of further snippets are copies.

    Raises SentilocError: source_missing, empty_file, unsupported_format, no_video, corrupt_media,
    limit_exceeded, resource_limit.
    """
    with (
        opened(path) as (file, container_format),
        DecoderProcess(file, container_format, request, limits, on_wait=on_wait, keeps=keeps) as process,
    ):
        yield from _events(process, request)


def _events(process: DecoderProcess, request: DecodeRequest) -> Generator[Event, None, None]:
    snippets = samples = 0
    for message in process.messages():
        event = _read_event(message, process, request)
        snippets += isinstance(event, SnippetFrames)
        samples += len(event.samples) if isinstance(event, AudioChunk) else 0
        # Each message is within the bounds, but a compromised child might send messages without end.
        if snippets > process.bounds.snippets or samples > process.bounds.samples:
            raise SentilocError(ErrorCode.CORRUPT_MEDIA, _CORRUPT)
        yield event
        if isinstance(event, EndOfMedia):
            return


def _read_event(message: Message, process: DecoderProcess, request: DecodeRequest) -> Event:
    bounds = process.bounds
    try:
        if message.kind == channel.INFO:
            return read_info(message.fields, bounds)
        if message.kind == channel.AUDIO:
            return read_audio(message.fields, message.payload, bounds)
        if message.kind == channel.END:
            return read_end(message.fields, message.payload, bounds)
        return _take_snippet(message.fields, process, request, bounds)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise SentilocError(ErrorCode.CORRUPT_MEDIA, _CORRUPT) from error


def _take_snippet(
    fields: dict[str, Any], process: DecoderProcess, request: DecodeRequest, bounds: Bounds
) -> SnippetFrames:
    """The pictures of a snippet. The child may refill their slot once they are no longer used."""
    index, slot = read_count(fields["index"], bounds.snippets), read_count(fields["slot"], process.slots - 1)
    count, height, width = (read_count(n, MAX_FACE_SIDE) for n in fields["faces"])
    sides_fit = 0 < height <= request.face_max_side and 0 < width <= request.face_max_side
    if not (count == len(request.face_samples) and sides_fit):
        raise ValueError("not a snippet of this request")
    narrow, has_visual, begins_shot = fields["narrow"], fields["visual"], fields["begins_shot"]
    flags = (*narrow, has_visual, begins_shot)
    if not (len(narrow) == count and all(isinstance(flag, bool) for flag in flags)):
        raise ValueError("not a snippet of this request")
    shape = (count, height, width) if request.face_grey else (count, height, width, 3)
    size, start = prod(shape), slot * request.slot_bytes
    pictures, visual, still = process.pictures, None, None
    visual_bytes = request.visual_bytes if has_visual else 0
    if request.visual_size is not None and visual_bytes:
        raw = pictures.copied(start + size, visual_bytes)
        visual = raw.reshape(request.snippet_frames, request.visual_size, request.visual_size, 3)
    if request.still_side is not None:
        high, wide = (read_count(n, request.still_side) for n in fields["still"])
        if not high * wide:
            raise ValueError("a still has pixels")
        still = pictures.copied(start + size + visual_bytes, high * wide * 3).reshape(high, wide, 3)
    if not any(narrow):
        faces = pictures.lent(slot, start, size).reshape(shape)
        return SnippetFrames(index, faces, visual, still, begins_shot)
    faces = _widened(pictures.view(start, size).reshape(shape), narrow)
    pictures.give_back(slot)
    return SnippetFrames(index, faces, visual, still, begins_shot)


def _widened(shown: Pictures, narrow: Sequence[bool]) -> Pictures:
    """A copy of pictures (k, height, width, ...), with the levels of the `narrow` ones widened."""
    faces = np.empty_like(shown)
    for target, picture, is_narrow in zip(faces, shown, narrow, strict=True):
        if is_narrow:
            widen(picture, target)
        else:
            np.copyto(target, picture)
    return faces


def grab_frame(path: Path, seconds: float, max_side: int, limits: DecodeLimits) -> Pictures:
    """The frame on screen at `seconds` (the last frame if the video is shorter), RGB (height, width, 3).

    Raises SentilocError as `decode` does.
    """
    with closing(grab_frames(path, [seconds], max_side, limits)) as frames:
        return next(frames)


def grab_frames(
    path: Path,
    times: Sequence[float],
    max_side: int,
    limits: DecodeLimits,
    on_wait: Callable[[], None] | None = None,
) -> Generator[Pictures, None, None]:
    """The frames on screen at `times` (seconds), in that order, from one decoder. Raises as `decode` does."""
    request = DecodeRequest(face_samples=(0,), face_max_side=max_side)
    with (
        opened(path) as (file, container_format),
        DecoderProcess(
            file, container_format, request, limits, grab_seconds=list(times), on_wait=on_wait
        ) as process,
        closing(_events(process, request)) as events,
    ):
        for _, event in zip(times, events, strict=False):
            if not isinstance(event, SnippetFrames):
                raise SentilocError(ErrorCode.CORRUPT_MEDIA, "The video is damaged and could not be read.")
            yield np.array(event.faces[0])


class opened:  # noqa: N801
    """Open a video and detect its container from its first bytes. The child gets only the file descriptor."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> tuple[BinaryIO, str]:
        try:
            self._file = self._path.open("rb", buffering=0)
        except OSError as error:
            raise SentilocError(ErrorCode.SOURCE_MISSING, "The video file cannot be opened.") from error
        try:
            return self._file, self._sniff()
        except BaseException:
            self._file.close()
            raise

    def _sniff(self) -> str:
        head = os.pread(self._file.fileno(), SNIFF_BYTES, 0)
        if not head:
            raise SentilocError(ErrorCode.EMPTY_FILE, "The file is empty.")
        container_format = sniff_container(head)
        if container_format is None:
            raise refusal(head)
        if is_encrypted(head, container_format):
            raise SentilocError(ErrorCode.ENCRYPTED, ENCRYPTED)
        return container_format

    def __exit__(self, *exception: object) -> None:
        self._file.close()

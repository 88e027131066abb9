"""The task of the sandboxed child, and its output."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiloc.worker.decoder import channel
from sentiloc.worker.decoder.channel import Sender
from sentiloc.worker.decoder.request import DecodeLimits, DecodeRequest
from sentiloc.worker.sound.soundtrack import Samples

_MOST_WAITING_SECONDS = 60.0
"""The maximum amount of sound that waits for the first picture."""


@dataclass(frozen=True, slots=True)
class Task:
    """The parent's request, as JSON. `grab_seconds` asks for single frames instead."""

    media_fd: int
    frames_fd: int
    out_fd: int
    credit_fd: int
    slots: int
    parent_pid: int
    container_format: str
    request: DecodeRequest
    limits: DecodeLimits
    grab_seconds: tuple[float, ...] | None


def read_task(raw: dict[str, Any]) -> Task:
    """The task that its JSON describes."""
    request = DecodeRequest(**{**raw["request"], "face_samples": tuple(raw["request"]["face_samples"])})
    times = None if raw["grab_seconds"] is None else tuple(raw["grab_seconds"])
    return Task(**{**raw, "request": request, "limits": DecodeLimits(**raw["limits"]), "grab_seconds": times})


@dataclass(slots=True)
class SnippetImages:
    """The images of one snippet: `faces`, `visual` frames and the `still`, as they were requested.

    `narrow` is True for each grey face in which 16 is black and 235 is white. `begins_shot` is stated by
    `VisualChoice`.
    """

    faces: list[NDArray[np.uint8]] = field(default_factory=list)
    narrow: list[bool] = field(default_factory=list)
    visual: list[NDArray[np.uint8]] = field(default_factory=list)
    still: NDArray[np.uint8] | None = None
    begins_shot: bool = False


class Output:
    """Writes pictures into the shared slots and notifies the parent."""

    def __init__(self, sender: Sender, memory: mmap.mmap, request: DecodeRequest) -> None:
        self._sender, self._memory, self._request = sender, memory, request
        self._waiting: list[tuple[int, Samples]] | None = []
        self._most_waiting = _MOST_WAITING_SECONDS * (request.audio_rate or 0)

    def begin(self, info: dict[str, Any]) -> None:
        """Describe the video to the parent. Sound that was decoded earlier is sent after it."""
        self._sender.send(channel.INFO, info)
        self._release()

    def snippet(self, index: int, images: SnippetImages) -> None:
        """Send the images of one snippet: faces, visual frames and the still, one after another in a slot."""
        slot = self._sender.take_slot()
        start = slot * self._request.slot_bytes
        faces, still = images.faces, images.still
        for image in (*faces, *images.visual, *([] if still is None else [still])):
            target = np.frombuffer(self._memory, np.uint8, image.size, start).reshape(image.shape)
            np.copyto(target, image)
            start += image.size
        shape = [len(faces), *faces[0].shape[:2]] if faces else [0, 1, 1]
        fields = {
            "index": index,
            "slot": slot,
            "faces": shape,
            "narrow": images.narrow,
            "visual": bool(images.visual),
            "begins_shot": images.begins_shot,
        }
        if still is not None:
            fields["still"] = still.shape[:2]
        self._sender.send(channel.SNIPPET, fields)

    def audio(self, start: int, samples: Samples) -> None:
        """Send samples (n,), or (n, 2) for stereo, that begin at sample `start`.

        A message holds seconds of sound, but a packet of uncompressed sound may last a minute.
        """
        if self._waiting is not None:
            self._waiting.append((start, samples))
            if sum(len(one) for _, one in self._waiting) > self._most_waiting:
                self._release()
            return
        most = channel.MAX_PAYLOAD_BYTES // samples[:1].nbytes
        for first in range(0, len(samples), most):
            part = samples[first : first + most]
            self._sender.send(channel.AUDIO, {"start": start + first}, part.tobytes())

    def end(self, fields: dict[str, Any], shots: Sequence[float] = ()) -> None:
        """Send the last message, with the times in seconds at which new shots begin."""
        self._release()
        self._sender.send(channel.END, fields, np.asarray(shots, np.float64).tobytes())

    def tick(self) -> None:
        """Report progress."""
        self._sender.tick()

    def _release(self) -> None:
        waiting, self._waiting = self._waiting or [], None
        for start, samples in waiting:
            self.audio(start, samples)

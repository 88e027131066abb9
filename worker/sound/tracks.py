"""Chooses the sound track: the requested one, a pair of mono tracks mixed, the default one, or the one with a voice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from numpy import fft
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.segments import AudioTrack
from sentiloc.worker.sound.channels import Narrowing
from sentiloc.worker.sound.mixdown import mix_to_mono

Samples = NDArray[np.float32]

# Telephone quality: speech is recognizable, and decoding for the choice stays cheap.
_RATE = 8000
_LOOK_SECONDS, _LOOKS = 20.0, 4
# Bounds the search in files where a track has no packets for hours.
_MOST_PACKETS = 20_000
# -60 dB of full scale.
_SILENT = 10 ** (-60 / 20)
_MAX_TEXT = 100
_USUAL_LAYOUTS = {1: "mono", 2: "stereo"}


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen sound tracks (numbers from 1 to `count`), and the reason."""

    numbers: tuple[int, ...]
    count: int
    reason: str


def choose_tracks(
    container: InputContainer, usable: Sequence[AudioStream], asked: int | None
) -> Choice | None:
    """Choose among the `usable` tracks; None if there are none.

    If there are several, a part of each is decoded, which moves the container's position. Raises invalid_data if the
    requested track does not exist.
    """
    every = list(container.streams.audio)
    numbers = {stream.index: number for number, stream in enumerate(every, 1)}
    if asked is not None:
        if asked not in [numbers[stream.index] for stream in usable]:
            detail = f"There is no usable sound track {asked}; the file has {len(every)}."
            raise SentilocError(ErrorCode.INVALID_DATA, detail)
        return Choice((asked,), len(every), "asked")
    if not usable:
        return None
    if len(usable) == 1:
        return Choice((numbers[usable[0].index],), len(every), "only")
    chosen, reason = _choose(usable, _voices(container, usable))
    return Choice(tuple(numbers[stream.index] for stream in chosen), len(every), reason)


def _choose(usable: Sequence[AudioStream], voices: Sequence[float]) -> tuple[list[AudioStream], str]:
    """The tracks and the reason, from the voice level of each track. A silent track has the level 0."""
    heard = [stream for stream, voice in zip(usable, voices, strict=True) if voice > 0]
    default = [stream for stream in usable if stream.disposition & Disposition.default]
    if _are_a_pair(usable) and len(heard) == len(usable):
        return heard, "mixed"
    if len(default) == 1 and (default[0] in heard or not heard):
        return default, "default"
    best = int(np.argmax(voices))
    return [usable[best] if heard else (default or list(usable))[0]], "voice"


def _are_a_pair(usable: Sequence[AudioStream]) -> bool:
    """Whether these are the two channels of one recording, stored as separate tracks."""
    languages = {stream.metadata.get("language", "und") for stream in usable}
    mono = all(stream.codec_context.layout.nb_channels == 1 for stream in usable)
    return len(usable) == 2 and mono and len(languages) == 1


def _voices(container: InputContainer, usable: Sequence[AudioStream]) -> list[float]:
    """The voice level of each stream, from up to four positions in the file."""
    heard: dict[int, list[Samples]] = {stream.index: [] for stream in usable}
    length = (container.duration or 0) / 1_000_000
    looks = _LOOKS if length > _LOOKS * _LOOK_SECONDS else 1
    for look in range(looks):
        try:
            if look:
                container.seek(int((container.start_time or 0) + look / looks * length * 1_000_000))
            _listen(container, usable, heard)
        except av.error.FFmpegError:
            break
    return [voice_level(np.concatenate([np.zeros(1, np.float32), *heard[s.index]])) for s in usable]


def _listen(
    container: InputContainer, usable: Sequence[AudioStream], heard: dict[int, list[Samples]]
) -> None:
    """Decode some seconds of each stream from the current position."""
    resamplers: dict[int, Narrowing] = {}
    wanted = {s.index: int(_LOOK_SECONDS * _RATE) for s in usable}
    for count, packet in enumerate(container.demux(*usable)):
        index = packet.stream.index
        for frame in _decoded(packet) if wanted[index] > 0 else ():
            try:
                if index not in resamplers:
                    resamplers[index] = Narrowing(frame, _RATE)
                parts = resamplers[index].resample(frame)
            except (ValueError, av.error.FFmpegError):
                # The layout changed, or the frame is damaged.
                resamplers.pop(index, None)
                continue
            for part in parts:
                heard[index].append(_mono(part))
                wanted[index] -= part.shape[1]
        if count > _MOST_PACKETS or all(left <= 0 for left in wanted.values()):
            return


def _mono(part: Samples) -> Samples:
    return part[0] if len(part) == 1 else mix_to_mono(part)


def _decoded(packet: Packet[Any]) -> Iterable[AudioFrame]:
    frames: list[Any]
    try:
        frames = list(packet.decode())
        return [frame for frame in frames if isinstance(frame, AudioFrame)]
    except av.error.FFmpegError:
        return []


def voice_level(samples: Samples) -> float:
    """A measure of how much mono samples (n,) at 8 kHz sound like a voice; 0 for silence.

    Speech is strong between 250 and 3,400 Hz and its bands rise and fall 2 to 8 times a second (Houtgast and
    Steeneken, 1985); hum, noise and sustained music do not.
    """
    size, hop = 256, 128
    if len(samples) < 64 * hop or float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) < _SILENT:
        return 0.0
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    power = np.square(np.abs(fft.rfft(frames * np.hanning(size), axis=1)))
    edges = [8, 12, 18, 26, 38, 54, 76, 109]
    bands = np.stack([power[:, a:b].sum(axis=1) for a, b in pairwise(edges)], axis=1)
    share = float(bands.sum() / max(power[:, 1:].sum(), 1e-20))
    envelope = np.sqrt(bands)
    swing = np.square(np.abs(fft.rfft(envelope - envelope.mean(axis=0), axis=0)))
    rates = fft.rfftfreq(len(envelope), hop / _RATE)
    syllables = swing[(rates >= 2) & (rates <= 8)].sum(axis=0) / np.maximum(swing.sum(axis=0), 1e-20)
    depth = envelope.std(axis=0) / np.maximum(envelope.mean(axis=0), 1e-12)
    loud = bands.mean(axis=0) / max(float(bands.mean(axis=0).sum()), 1e-20)
    return 1e-6 + share * float((syllables * np.minimum(depth, 1.5) * loud).sum())


def describe_track(choice: Choice, stream: AudioStream) -> dict[str, object]:
    """The description of the track in the result."""
    context = stream.codec_context
    track = AudioTrack(
        numbers=choice.numbers,
        count=choice.count,
        chosen=choice.reason,
        codec=context.codec.canonical_name,
        layout=_USUAL_LAYOUTS.get(context.layout.nb_channels, context.layout.name),
        language=_text(stream.metadata.get("language")),
        title=_text(stream.metadata.get("title") or stream.metadata.get("name")),
    )
    return asdict(track)


def _text(value: str | None) -> str | None:
    """A tag as one printable line, or None."""
    shown = "".join(c for c in value or "" if c.isprintable())[:_MAX_TEXT].strip()
    return shown if shown and shown != "und" else None

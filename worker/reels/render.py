"""Renders a reel: decodes each part in the sandbox, joins the parts, and encodes the result.

Every picture of the reel is the one on screen in its source in the middle of that frame, so lengths are frame-exact.
Sound is placed by sample count, so it cannot drift from the pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sentiloc.app.reels.plan import ReelClip, ReelPlan
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder.decode import AudioChunk, DecodeRequest, SnippetFrames, decode
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.reels.captions import Caption
from sentiloc.worker.reels.copier import copy_reel
from sentiloc.worker.reels.encoder import Encoder
from sentiloc.worker.reels.encoder_child import CHANNELS, SOUND_RATE
from sentiloc.worker.reels.join import Block, Joiner, equal_power, linear

Report = Callable[[str, float], None]
RENDERING = "rendering"
QUALITY = 20
"""x264's constant rate factor: visually close to the source."""
_EDGE_SAMPLES = SOUND_RATE // 200
"""5 ms, in which sound fades at hard cuts and at both ends of the reel, because an abrupt end would click."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A rendered reel: its length in frames and seconds, and whether its packets were copied without encoding."""

    frames: int
    seconds: float
    is_copy: bool = False


def render_reel(
    plan: ReelPlan,
    path: Path,
    limits: DecodeLimits,
    report: Report,
    *,
    quality: int = QUALITY,
) -> Rendered:
    """Write the reel of `plan`, whose sources are paths, to `path` as MP4 (H.264 and AAC).

    Where every part can be cut without encoding, the packets are copied (`copier`); no picture changes then.

    Args:
        plan: The plan of the reel.
        path: The output file; an existing file is replaced.
        limits: Limits for decoding one part, and for encoding the whole.
        report: Called with the stage and the progress, 0 to 1; what it raises ends the work.
        quality: Constant rate factor; lower is better.

    Raises:
        SentilocError: A video cannot be read, a limit is exceeded, or there is no room.
    """
    copied = copy_reel(plan, path, limits, lambda done: report(RENDERING, done))
    if copied is not None:
        report(RENDERING, 1.0)
        seconds = float(copied / plan.frames_per_second)
        return Rendered(frames=copied, seconds=seconds, is_copy=True)
    work = _Work(plan, limits, report)
    with Encoder(
        path, plan, limits, has_sound=True, quality=quality, on_wait=lambda: report(RENDERING, work.progress)
    ) as encoder:
        work.run(encoder)
        encoder.finish()
    return Rendered(frames=plan.frames, seconds=plan.seconds)


class _Work:
    def __init__(self, plan: ReelPlan, limits: DecodeLimits, report: Report) -> None:
        self._plan, self._limits, self._report = plan, limits, report
        self._shown = 0

    @property
    def progress(self) -> float:
        """Share of the frames that have been decoded."""
        return self._shown / max(1, sum(clip.frames for clip in self._plan.clips))

    def run(self, encoder: Encoder) -> None:
        """Decode, join and encode all clips."""

        def show(block: Block) -> None:
            for picture in block:
                encoder.picture(np.ascontiguousarray(picture).data)

        def play(block: Block) -> None:
            encoder.sound(np.ascontiguousarray(block, np.float32).data)

        pictures, sounds = Joiner(show, linear), Joiner(play, equal_power)
        plan = self._plan
        overlaps = (*plan.overlaps, 0)
        for number, clip in enumerate(plan.clips):
            start, end = plan.starts[number], plan.starts[number] + clip.frames
            fade_in, fade_out = overlaps[number], overlaps[number + 1]
            pictures.begin(clip.frames, fade_in, fade_out)
            sounds.begin(
                # Differences of rounded positions, because errors of rounded lengths would add up over the clips.
                _sample(end, plan) - _sample(start, plan),
                _sample(start + fade_in, plan) - _sample(start, plan),
                _sample(end, plan) - _sample(end - fade_out, plan),
                rise=_EDGE_SAMPLES if self._is_cut(number) else 0,
                fall=_EDGE_SAMPLES if self._is_cut(number + 1) else 0,
            )
            self._play(clip, pictures, sounds)

    def _is_cut(self, number: int) -> bool:
        """Whether there is a hard cut of sound before the clip `number`: without overlap, and not a continuation of the
        same source.
        """
        clips = self._plan.clips
        if number in (0, len(clips)):
            return True
        one, two = clips[number - 1], clips[number]
        goes_on = (one.source, one.first + one.frames) == (two.source, two.first)
        return not self._plan.overlaps[number] and not goes_on

    def _play(self, clip: ReelClip, pictures: Joiner, sounds: Joiner) -> None:
        """Push one clip. If the video ends early, its last picture is held, in silence."""
        plan, last = self._plan, None
        caption = Caption(clip.caption, plan.width, plan.height) if plan.captions else None
        request = _request(clip, plan)
        with closing(decode(Path(clip.source), request, self._limits, self._on_wait)) as events:
            for event in events:
                if isinstance(event, SnippetFrames):
                    last = _fitted(event.faces[0], plan.width, plan.height)
                    if caption is not None:
                        last = last.copy()  # A copy, because the decoder's shared memory is read-only.
                        caption.draw(last, event.index / float(plan.frames_per_second))
                    pictures.push(last[None])
                    self._shown += 1
                elif isinstance(event, AudioChunk):
                    # The decoder sends the sound from the first sample of the part on, without gaps.
                    sounds.push(event.samples)
                self._on_wait()
        if last is None:
            detail = f"{clip.name} has no picture at {clip.seconds:g} s."
            raise SentilocError(ErrorCode.CORRUPT_MEDIA, detail)
        while pictures.missing:
            pictures.push(last[None])
        while sounds.missing:
            # In pieces, because a silent clip may last half an hour.
            sounds.push(np.zeros((min(sounds.missing, SOUND_RATE), CHANNELS), np.float32))

    def _on_wait(self) -> None:
        self._report(RENDERING, self.progress)


def _request(clip: ReelClip, plan: ReelPlan) -> DecodeRequest:
    """The decoder's request: every frame of the clip at the reel's rate, no larger than shown, and its sound.

    Pictures are looked up in the middle of a frame. A cut is rounded to the nearest frame, and pictures may lie beside
    the frames, so the picture before the cut may still be on screen at the start of the frame.
    """
    return DecodeRequest(
        frame_rate=float(plan.frames_per_second),
        snippet_frames=1,
        looked_at=0.5,
        face_samples=(0,),
        face_max_side=max(plan.width, plan.height),
        for_people=True,
        audio_rate=SOUND_RATE,
        audio_channels=CHANNELS,
        first_snippet=clip.first,
        end_snippet=clip.first + clip.frames,
    )


def _sample(frame: int, plan: ReelPlan) -> int:
    """The sample at which a frame begins."""
    return round(Fraction(frame) / plan.frames_per_second * SOUND_RATE)


def _fitted(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The picture centred in `width` x `height`, as large as fits, on black."""
    rows, columns = picture.shape[:2]
    scale = min(width / columns, height / rows)
    size = (min(width, max(1, round(columns * scale))), min(height, max(1, round(rows * scale))))
    if (columns, rows) != size:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)
    if size == (width, height):
        return np.ascontiguousarray(picture)
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    canvas[top : top + size[1], left : left + size[0]] = picture
    return canvas

"""MP4 files of held-out people with known ground truth, for evaluation through the whole pipeline.

There are two kinds. Composed videos show still faces on TSL300-like timelines; the faces move, change in light and
size, and their mouths move with the voice. Joined videos are cut from real clips. Everything depends only on the seed.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from recipes.starter.clips import SAMPLE_RATE, Image, decode_image, decode_sound, sampled_frames, sentiment_of
from recipes.starter.faces.bank import talk
from recipes.starter.faces.faces import report_photos
from recipes.starter.splits import VALIDATION_ACTORS
from recipes.starter.timelines import Span, TimelineStatistics, sample_timeline
from recipes.starter.voices.data import read_index
from sentiloc.model.segments import FloatArray
from sentiloc.model.spec import CLASSES, NEGATIVE, NON_SENTIMENT, POSITIVE

logger = logging.getLogger(__name__)

# Pixels, the height at which decoding is measured as well.
_HEIGHT = 360
# Seconds.
_FADE = 0.4
# Pixels of a pasted face before it is scaled.
_FACE_SIDE = 160
# Mouth openings drawn once for each face, since warping a face in every frame is slow.
_OPENINGS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Held-out data: square face pictures (BGR) and utterance files, both by class index."""

    faces: dict[int, list[Path]]
    voices: dict[int, list[Path]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One stretch of a composed video, in seconds: a picture that shows one expression (None: no face)."""

    start: float
    end: float
    face: Image | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One clip of a joined video: a file, when it starts in seconds and how long it is."""

    path: Path
    start: float
    seconds: float
    label: int


def held_out_cast(data: Path) -> Cast:
    """Read photos and voices of held-out people."""
    photos = report_photos(data / "faces" / "expressions")
    classes = (NEGATIVE, POSITIVE, NON_SENTIMENT)
    utterances = [u for u in read_index(data / "speech") if u.held_out]
    return Cast(
        faces={c: [path for path, emotion in photos if sentiment_of(emotion) == c] for c in classes},
        voices={c: [data / "speech" / u.file for u in utterances if u.sentiment == c] for c in classes},
    )


def held_out_takes(folder: Path) -> list[tuple[Path, str, int]]:
    """File, actor and class of every clip of the held-out actors."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = [(row["file"], row["actor"], sentiment_of(row["emotion"])) for row in csv.DictReader(file)]
    return [(folder / f, actor, c) for f, actor, c in rows if actor in VALIDATION_ACTORS and c >= 0]


def compose_videos(
    folder: Path, cast: Cast, statistics: TimelineStatistics, *, count: int, seed: int
) -> None:
    """Write `count` composed MP4s of 40-80 s and their ground truth; existing videos are kept."""
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        seconds = float(rng.uniform(40, 80))
        spans = _timeline(rng, statistics, seconds)
        scenes, sound = _script(rng, cast, spans, seconds)
        fps = int(rng.choice((24, 25, 30)))
        frames = render(rng, scenes, sound, seconds, fps)
        _finish(folder, f"composed{number:02d}", spans, fps, frames, sound)


def join_videos(folder: Path, takes: Sequence[tuple[Path, str, int]], *, count: int, seed: int) -> None:
    """Write `count` MP4s of 8-14 real clips each with hard cuts; `takes` are (file, actor, class index)."""
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        chosen = _choose_takes(rng, takes, int(rng.integers(8, 15)))
        spans = merge_spans([Span(t.start, t.start + t.seconds, t.label) for t in chosen])
        sound = _joined_sound(chosen)
        _finish(folder, f"joined{number:02d}", spans, 25, _joined_frames(chosen), sound)


def merge_spans(spans: Sequence[Span]) -> list[Span]:
    """Only the spans with sentiment; adjacent spans of one class are merged."""
    merged: list[Span] = []
    for span in spans:
        # Clips end between two frames, so neighbours may be up to a frame (0.04 s) apart.
        if merged and merged[-1].label == span.label and span.start - merged[-1].end < 0.05:
            merged[-1] = Span(merged[-1].start, span.end, span.label)
        elif span.label != NON_SENTIMENT:
            merged.append(span)
    return merged


def read_truth(folder: Path) -> dict[str, list[Span]]:
    """True segments of each MP4 of a folder by file name."""
    return {
        path.name.removesuffix(".json") + ".mp4": [
            Span(row["start"], row["end"], CLASSES.index(row["label"]))
            for row in json.loads(path.read_text(encoding="utf-8"))
        ]
        for path in sorted(folder.glob("*.json"))
    }


def write_mp4(path: Path, frames: Iterator[Image], fps: int, sound: FloatArray) -> None:
    """H.264 and AAC; `frames` are BGR with even sides, `sound` mono at 16 kHz in [-1, 1]."""
    with av.open(str(path), "w", format="mp4") as container:
        first = next(frames)
        # Compressed as videos on the web are: a perfect picture would make the test too easy.
        video = container.add_stream("libx264", rate=fps, options={"crf": "26", "preset": "veryfast"})
        video.height, video.width, video.pix_fmt = first.shape[0], first.shape[1], "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        audio.bit_rate = 48_000
        for number, image in enumerate(chain((first,), frames)):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        # 1024 samples are one frame of AAC.
        for start in range(0, len(sound), 1024):
            part = np.ascontiguousarray(sound[None, start : start + 1024], np.float32)
            block = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(block))
        container.mux(audio.encode(None))


def render(
    rng: np.random.Generator, scenes: Sequence[Scene], sound: FloatArray, seconds: float, fps: int
) -> Iterator[Image]:
    """Frames of a composed video: the scene's face moves and talks, with a cross-fade from the previous scene."""
    width = int(rng.choice((480, 640)))
    backdrop, camera = _backdrop(rng, width), _Camera(rng, width)
    # A camera's noise: without it, frames of a still picture would be equal.
    grain = [rng.integers(0, 10, (_HEIGHT, width, 1), np.uint8).repeat(3, 2) for _ in range(8)]
    mouths = [_mouths(scene.face) for scene in scenes]
    openings = _openings(sound, int(seconds * fps), fps)
    # Far in the past, so that the first scene does not fade in.
    current, faded = 0, -10.0
    for number, opening in enumerate(openings):
        time = number / fps
        while current + 1 < len(scenes) and time >= scenes[current].end:
            current, faded = current + 1, time
        mix = min(1.0, (time - faded) / _FADE)
        face = mouths[current][opening] if mouths[current] else None
        if face is not None and mix < 1 and current and mouths[current - 1]:
            face = np.asarray(cv2.addWeighted(face, mix, mouths[current - 1][opening], 1 - mix, 0), np.uint8)
        frame = backdrop if face is None else camera.shoot(backdrop, face, time)
        yield np.asarray(cv2.add(frame, grain[number % len(grain)]), np.uint8)


class _Camera:
    """Position, size and light of the face over time, as slow sums of sines."""

    def __init__(self, rng: np.random.Generator, width: int) -> None:
        self._size = float(rng.uniform(0.45, 0.75)) * _HEIGHT
        self._centre = np.array([width * rng.uniform(0.35, 0.65), _HEIGHT * rng.uniform(0.45, 0.55)])
        self._rates = rng.uniform(0.2, 1.5, 5)
        self._phases = rng.uniform(0, 2 * np.pi, 5)
        self._sizes = rng.uniform(0.3, 1.0, 5) * np.array([0.06, 0.04, 0.08, 5.0, 0.25])
        self._mask = np.repeat(_feather(_FACE_SIDE)[..., None], 3, 2)

    def shoot(self, backdrop: Image, face: Image, time: float) -> Image:
        """The face on its backdrop with a feathered edge."""
        x, y, zoom, turn, light = self._sizes * np.sin(self._rates * time + self._phases)
        matrix = cv2.getRotationMatrix2D(
            (_FACE_SIDE / 2, _FACE_SIDE / 2), turn, self._size * (1 + zoom) / _FACE_SIDE
        )
        matrix[:, 2] += self._centre + np.array([x, y]) * _HEIGHT - _FACE_SIDE / 2
        size = backdrop.shape[1::-1]
        placed = cv2.warpAffine(cv2.convertScaleAbs(face, alpha=1 + light), matrix, size)
        mask = cv2.warpAffine(self._mask, matrix, size)
        mixed = cv2.add(
            cv2.multiply(placed, mask, scale=1 / 255), cv2.multiply(backdrop, 255 - mask, scale=1 / 255)
        )
        return np.asarray(mixed, np.uint8)


def _mouths(face: Image | None) -> list[Image]:
    """A face with its mouth from closed to wide open in `_OPENINGS` steps; empty without a face."""
    return [] if face is None else [talk(face, opening) for opening in np.linspace(0, 0.7, _OPENINGS)]


def _feather(side: int) -> Image:
    """A rounded square (side, side) that is 255 inside and falls to 0 at its border."""
    # The sixth power makes the circle of the second power a rounded square.
    axis = np.abs(np.linspace(-1, 1, side)) ** 6
    inside = np.clip((1 - (axis[:, None] + axis[None, :])) * 3, 0, 1)
    return np.asarray(inside * 255, np.uint8)


def _openings(sound: FloatArray, frames: int, fps: int) -> list[int]:
    """The mouth opening of each frame, 0 (closed) to `_OPENINGS` - 1, from the voice's envelope."""
    step = SAMPLE_RATE // fps
    padded = np.zeros(frames * step, np.float32)
    padded[: min(len(sound), len(padded))] = sound[: len(padded)]
    level = np.sqrt(np.square(padded.reshape(frames, step)).mean(1))
    # Not the maximum: after one loud sound the mouth would hardly open again.
    share = np.clip(level / (np.quantile(level, 0.95) + 1e-4), 0, 1)
    return [int(value) for value in share * (_OPENINGS - 1)]


def _backdrop(rng: np.random.Generator, width: int) -> Image:
    """Blurred blobs around one colour: a room out of focus."""
    small = (rng.uniform(50, 190, 3) + rng.normal(0, 25, (6, 8, 3))).astype(np.float32)
    return cv2.resize(small, (width, _HEIGHT), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def _timeline(rng: np.random.Generator, statistics: TimelineStatistics, seconds: float) -> list[Span]:
    """Draw a timeline with at least two segments."""
    while True:
        spans = sample_timeline(rng, statistics, seconds, gap_scale=0.35)
        if len(spans) >= 2:
            return spans


def _script(
    rng: np.random.Generator, cast: Cast, spans: Sequence[Span], seconds: float
) -> tuple[list[Scene], FloatArray]:
    """Scenes without gaps between them, and the sound track."""
    edges = [0.0, *(time for span in spans for time in span[:2]), seconds]
    labels = [NON_SENTIMENT, *(label for span in spans for label in (span.label, NON_SENTIMENT))]
    sound = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
    scenes: list[Scene] = []
    for (start, end), label in zip(pairwise(edges), labels, strict=True):
        if end - start > 1e-3:
            face_label, voice_label = _signals(rng, label)
            scenes += _scenes(rng, cast, start, end, face_label)
            if voice_label is not None:
                _speech(rng, cast.voices[voice_label], sound, start, end)
    hiss = rng.normal(0, 10 ** rng.uniform(-4, -2.5), len(sound))
    return scenes, (sound + hiss).clip(-1, 1).astype(np.float32)


def _signals(rng: np.random.Generator, label: int) -> tuple[int | None, int | None]:
    """Classes of face and voice; None is no face, or silence. Both agree in most segments."""
    draw = rng.random()
    if label == NON_SENTIMENT:
        return (None if draw < 0.1 else label), (label if rng.random() < 0.7 else None)
    if draw < 0.7:
        return label, label
    if draw < 0.87:
        return label, (NON_SENTIMENT if rng.random() < 0.4 else None)
    return (NON_SENTIMENT if rng.random() < 0.6 else None), label


def _scenes(rng: np.random.Generator, cast: Cast, start: float, end: float, label: int | None) -> list[Scene]:
    """Scenes of one class from `start` to `end`, with a new picture every 3 to 8 seconds."""
    count = max(1, round((end - start) / rng.uniform(3, 8)))
    edges = np.linspace(start, end, count + 1)
    return [
        Scene(start=a, end=b, face=None if label is None else _picture(rng, cast.faces[label]))
        for a, b in pairwise(edges.tolist())
    ]


def _picture(rng: np.random.Generator, files: Sequence[Path]) -> Image:
    image = decode_image(files[int(rng.integers(len(files)))].read_bytes())
    return np.asarray(cv2.resize(image, (_FACE_SIDE, _FACE_SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def _speech(
    rng: np.random.Generator, files: Sequence[Path], sound: FloatArray, start: float, end: float
) -> None:
    time = start + float(rng.uniform(0, 0.5))
    while time < end - 0.5:
        wave = decode_sound(files[int(rng.integers(len(files)))]).astype(np.float32) / 32768
        wave = wave[: int((end - time) * SAMPLE_RATE)]
        # A view of `sound`, so the addition changes the track.
        room = sound[int(time * SAMPLE_RATE) :][: len(wave)]
        room += wave[: len(room)]
        time += len(wave) / SAMPLE_RATE + float(rng.exponential(0.6))


def _choose_takes(rng: np.random.Generator, takes: Sequence[tuple[Path, str, int]], count: int) -> list[Take]:
    """Choose clips of one actor, or of all; a sentiment is sometimes repeated."""
    actors = sorted({actor for _, actor, _ in takes})
    cast = {str(rng.choice(actors))} if rng.random() < 0.6 else set(actors)
    chosen: list[Take] = []
    time, label = 0.0, NON_SENTIMENT
    for _ in range(count):
        if label == NON_SENTIMENT or rng.random() > 0.3:
            label = int(rng.choice((NEGATIVE, POSITIVE, NON_SENTIMENT), p=(0.3, 0.25, 0.45)))
        pool = [path for path, actor, kind in takes if actor in cast and kind == label]
        path = pool[int(rng.integers(len(pool)))]
        seconds = _picture_seconds(path)
        chosen.append(Take(path=path, start=time, seconds=seconds, label=label))
        time += seconds
    return chosen


def _picture_seconds(path: Path) -> float:
    """Length on the 25 fps grid, in seconds."""
    return sum(1 for _ in sampled_frames(path, 1)) / 25


def _joined_frames(takes: Sequence[Take]) -> Iterator[Image]:
    for take in takes:
        yield from sampled_frames(take.path, 1)


def _joined_sound(takes: Sequence[Take]) -> FloatArray:
    sound = np.zeros(int((takes[-1].start + takes[-1].seconds) * SAMPLE_RATE), np.float32)
    for take in takes:
        wave = decode_sound(take.path).astype(np.float32) / 32768
        # A view of `sound`. A clip's sound can be longer than its pictures; it then mixes with the next clip's.
        room = sound[int(take.start * SAMPLE_RATE) :][: len(wave)]
        room += wave[: len(room)]
    return sound.clip(-1, 1)


def _finish(
    folder: Path, name: str, spans: Sequence[Span], fps: int, frames: Iterator[Image], sound: FloatArray
) -> None:
    """Write the video, then the ground truth. If the truth exists, both files are complete."""
    truth = folder / f"{name}.json"
    if truth.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_mp4(folder / f"{name}.mp4", frames, fps, sound)
    rows = [{"start": s.start, "end": s.end, "label": CLASSES[s.label]} for s in spans]
    truth.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    logger.info("wrote %s: %d segments", name, len(spans))

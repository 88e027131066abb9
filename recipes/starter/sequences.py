"""Untrimmed training sequences of features with known ground truth. Kinds (`everyday` has its own module):

* joined: real clips of `javanese_av`, face and voice in sync, cut together;
* acted: still faces and utterances, cut together like a film of short scenes;
* composed: a timeline with TSL300's statistics, in which expressions rise and fall.

A draft holds two face samples and 32 sound frames per snippet; `finish` makes a training item of it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from recipes.starter.clips import FRAME_RATE, FRAME_STEP, IGNORED
from recipes.starter.faces.draft import (
    EMBEDDING,
    FACE_STEP,
    FACES,
    SNIPPET,
    SOUND_STEP,
    Draft,
    Shot,
    Sources,
)
from recipes.starter.faces.person import Person, disguise_of
from recipes.starter.timelines import Span, draw_points, sample_timeline
from recipes.starter.voices.voice_bank import channel, to_log_mel, to_power
from sentiloc.model.data.items import Item, PointLabel, SegmentLabel
from sentiloc.model.extractors.logmel import FRAMES, MELS, normalize_level
from sentiloc.model.segments import BoolArray, FloatArray, SnippetFeatures
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE

# Voices besides the classes: none, and surprised ones, which belong to no class.
NO_VOICE, LIVELY = -2, IGNORED
DUBBED = 0.15
"""Share of training clips dubbed with another clip's voice, because the encoder is too accurate on voices of its own
training.
"""


def joined(rng: np.random.Generator, sources: Sources, seconds: float) -> Draft:
    """Real clips of one or a few actors, with neutral clips, silences and empty shots between them."""
    draft = Draft.empty(seconds)
    actors = sorted({clip.actor for clip in sources.clips})
    cast = rng.permutation(actors)[: 1 if rng.random() < 0.6 else 3]
    # One camera and one microphone for the whole sequence.
    look, sound = int(rng.integers(sources.clip_faces[0].embeddings.shape[0])), int(rng.integers(4))
    disguises = {actor: disguise_of(rng, sources, actor, look) for actor in cast}
    time, label, calm = 0.0, NON_SENTIMENT, _calmness(rng)
    while time < draft.snippets * SNIPPET:
        if rng.random() < 0.12:
            time += float(rng.uniform(0.5, 5))
        label = _next_label(rng, label, calm)
        pool = [i for i, c in enumerate(sources.clips) if c.actor in cast and c.sentiment == label]
        chosen = int(rng.choice(pool))
        voice = _dub(rng, sources, chosen)
        _show_clip(
            draft, sources, (chosen, voice), time, (look, sound), disguises[sources.clips[chosen].actor]
        )
        length = _clip_seconds(sources, chosen)
        _mark(draft, time, time + length, label)
        time += length
    return draft


def acted(rng: np.random.Generator, sources: Sources, seconds: float) -> Draft:
    """Scenes of one utterance each with hard cuts; the face shows one expression per scene."""
    draft = Draft.empty(seconds)
    # Face and voice come from collections without common people, so they are paired at random.
    person, speaker = Person(rng, sources), int(rng.integers(len(sources.voices.speakers)))
    time, label, calm = 0.0, NON_SENTIMENT, _calmness(rng)
    while time < draft.snippets * SNIPPET:
        if rng.random() < 0.1:
            time += float(rng.uniform(0.5, 4))
        if rng.random() < 0.15:
            person, speaker = Person(rng, sources), int(rng.integers(len(sources.voices.speakers)))
        label = _next_label(rng, label, calm)
        face_label, voice_label = _signals(rng, label)
        end = time + _scene_length(rng, draft, sources, speaker, voice_label, time)
        if face_label is not None:
            person.show(draft, time, end, face_label, ramp=0.15)
        elif rng.random() < 0.4:
            draft.see_things(rng, sources.stills.junk, time, end)
        _mark(draft, time, end, label)
        time = end
    return draft


def composed(rng: np.random.Generator, sources: Sources, seconds: float) -> Draft:
    """A TSL300-like timeline: shots of people, expressions that rise and fall, speech with pauses."""
    draft = Draft.empty(seconds)
    length = draft.snippets * SNIPPET
    draft.spans = sample_timeline(rng, sources.statistics, length, gap_scale=float(rng.uniform(0.15, 0.6)))
    cuts = np.cumsum([0.0, *rng.uniform(6, 30, int(length / 6) + 1)])
    for start, end in pairwise([*cuts[cuts < length].tolist(), length]):
        Person(rng, sources).show(draft, start, end, NON_SENTIMENT, ramp=0.0)
    for start, end, label in _stretches(draft.spans, length):
        person, speaker = Person(rng, sources), int(rng.integers(len(sources.voices.speakers)))
        face_label, voice_label = _signals(rng, label)
        if face_label is None:
            draft.see_nobody(start, end)
            if rng.random() < 0.4:
                draft.see_things(rng, sources.stills.junk, start, end)
        elif face_label != NON_SENTIMENT:
            person.show(draft, start, end, face_label, ramp=float(rng.uniform(0.2, 1.0)))
        _talk_through(rng, draft, sources, speaker, voice_label, start, end)
    return draft


def finish(rng: np.random.Generator, name: str, draft: Draft, sources: Sources, *, spoil: bool) -> Item:
    """Make a training item of a draft: background sound, missing streams (with `spoil`), points, snippets."""
    power = channel(rng, draft.power, _surroundings(rng, sources))
    audio, present = normalize_level(to_log_mel(power).reshape(-1, FRAMES, MELS))
    seen = draft.seen.copy()
    if spoil:
        _lose_streams(rng, seen, present)
    face, face_present = _average(draft.face, seen)
    points = draw_points(rng, draft.spans)
    last = draft.snippets - 1
    return Item(
        name=name,
        features=SnippetFeatures(
            visual=None,
            audio=audio,
            face=face,
            visual_present=np.zeros(draft.snippets, bool),
            audio_present=present,
            face_present=face_present,
        ),
        fps=float(FRAME_RATE),
        points=tuple(PointLabel(min(int(p.time / SNIPPET), last), p.label) for p in points),
        segments=tuple(SegmentLabel(s.start, s.end, s.label) for s in draft.spans),
    )


def _surroundings(rng: np.random.Generator, sources: Sources) -> FloatArray:
    """Mel power (frames, 60) of the background of a whole recording: real music or noise, or synthetic noise."""
    return sources.sound(rng, str(rng.choice(("music", "noise", "drawn"))))


def _calmness(rng: np.random.Generator) -> float:
    """Share of neutral clips in a sequence: a sixth of the sequences are almost or completely neutral."""
    return float(rng.uniform(0.85, 1.0)) if rng.random() < 1 / 6 else float(rng.uniform(0.35, 0.65))


def _next_label(rng: np.random.Generator, label: int, calm: float) -> int:
    """Sentiment of the next clip: sometimes the same again, otherwise neutral with probability `calm`."""
    if label != NON_SENTIMENT and rng.random() < 0.25 * (1 - calm):
        return label
    if rng.random() < calm:
        return NON_SENTIMENT
    return NEGATIVE if rng.random() < 0.55 else POSITIVE


def _signals(rng: np.random.Generator, label: int) -> tuple[int | None, int]:
    """What face and voice show in a segment of this sentiment; None: no face, NO_VOICE: silence.

    In segments with sentiment both show it (70 %), the face alone (17 %), the voice alone (8 %; with a neutral face
    only if the voice is negative), or they contradict each other (5 %), and then the face counts. With a neutral face a
    voice may be LIVELY (surprised): acted neutral speech is flat, and the network must not take all other speech for
    joy.
    """
    draw = rng.random()
    if label == NON_SENTIMENT:
        face = None if draw < 0.12 else NON_SENTIMENT
        voices = (NON_SENTIMENT, NO_VOICE) if face is None else (NON_SENTIMENT, NO_VOICE, LIVELY)
        return face, int(rng.choice(voices, p=(0.65, 0.35) if face is None else (0.5, 0.3, 0.2)))
    if draw < 0.70:
        return label, label
    if draw < 0.87:
        return label, NON_SENTIMENT if rng.random() < 0.4 else NO_VOICE
    if draw < 0.95:
        return (NON_SENTIMENT if label == NEGATIVE and rng.random() < 0.5 else None), label
    # Negative is 0, positive is 1.
    return label, 1 - label


def _clip_seconds(sources: Sources, chosen: int) -> float:
    return len(sources.clips[chosen].seen) * FRAME_STEP / FRAME_RATE


def _dub(rng: np.random.Generator, sources: Sources, chosen: int) -> int:
    """The clip whose sound accompanies `chosen`: itself, or sometimes another one of the same actor."""
    if not sources.disguise or rng.random() >= DUBBED:
        return chosen
    clip = sources.clips[chosen]
    others = [
        i for i, c in enumerate(sources.clips) if c.actor == clip.actor and c.sentiment != clip.sentiment
    ]
    return int(rng.choice(others or [chosen]))


def _show_clip(
    draft: Draft,
    sources: Sources,
    seen_and_heard: tuple[int, int],
    start: float,
    version: tuple[int, int],
    disguise: FloatArray,
) -> None:
    chosen, voice = seen_and_heard
    faces, seconds = sources.clip_faces[chosen], _clip_seconds(sources, chosen)
    where = draft.between(start, start + seconds)
    samples = np.arange(where.start, min(where.stop, len(draft.seen)))
    frames = (((samples + 0.5) * FACE_STEP - start) * FRAME_RATE / FRAME_STEP).astype(int)
    frames = frames.clip(0, len(faces.seen) - 1)
    draft.face[samples] = faces.embeddings[version[0], frames] + disguise
    draft.seen[samples] = faces.seen[frames]
    draft.shots.append(
        Shot(
            kind="clip",
            start=start,
            end=start + seconds,
            label=sources.clips[chosen].sentiment,
            number=chosen,
        )
    )
    power = to_power(sources.clip_sounds[voice][version[1]])
    # The sound of another clip may be longer than these pictures.
    draft.say(start, power if voice == chosen else power[: round(seconds / SOUND_STEP)])


def _mark(draft: Draft, start: float, end: float, label: int) -> None:
    """Record the ground truth; adjacent clips of the same sentiment without a pause form one segment."""
    end = min(end, draft.snippets * SNIPPET)
    if label == NON_SENTIMENT or end <= start:
        return
    last = draft.spans[-1] if draft.spans else None
    # Half a snippet: a shorter pause cannot be seen in features.
    if last and last.label == label and start - last.end < 0.3:
        draft.spans[-1] = Span(last.start, end, label)
    else:
        draft.spans.append(Span(start, end, label))


def _scene_length(
    rng: np.random.Generator, draft: Draft, sources: Sources, speaker: int, label: int, start: float
) -> float:
    """Add one utterance at `start`; returns the length of the scene in seconds."""
    if label == NO_VOICE:
        return float(rng.uniform(1.5, 5))
    power = sources.voices.voice(rng, speaker, label)
    draft.say(start + 0.2, power)
    return len(power) * SOUND_STEP + float(rng.uniform(0.2, 0.8))


def _talk_through(
    rng: np.random.Generator,
    draft: Draft,
    sources: Sources,
    speaker: int,
    label: int,
    start: float,
    end: float,
) -> None:
    """Add utterances with pauses from `start` to `end` seconds; the last one is cut off at the end."""
    time = start + float(rng.uniform(0, 0.8))
    while label != NO_VOICE and time < end - 0.5:
        power = sources.voices.voice(rng, speaker, label)[: int((end - time) / SOUND_STEP)]
        draft.say(time, power)
        time += len(power) * SOUND_STEP + float(rng.exponential(0.7))


def _stretches(spans: list[Span], length: float) -> list[tuple[float, float, int]]:
    """Segments and the neutral time between them, in order."""
    edges = [0.0, *(time for span in spans for time in (span.start, span.end)), length]
    labels = [NON_SENTIMENT, *(label for span in spans for label in (span.label, NON_SENTIMENT))]
    return [(a, b, label) for (a, b), label in zip(pairwise(edges), labels, strict=True) if b - a > 1e-3]


def _lose_streams(rng: np.random.Generator, seen: BoolArray, present: BoolArray) -> None:
    """Remove whole streams and long stretches, but never both streams of the whole sequence."""
    draw = rng.random()
    if draw < 0.15:
        present[:] = False
    elif draw < 0.25:
        seen[:] = False
    for mask in (seen, present):
        if rng.random() < 0.25:
            start = int(rng.integers(len(mask)))
            mask[start : start + int(rng.integers(2, max(len(mask) // 3, 3)))] = False


def _average(face: FloatArray, seen: BoolArray) -> tuple[FloatArray, BoolArray]:
    """Mean embedding of each snippet's face samples (T, 256), and whether there are any (T,)."""
    weights = seen.reshape(-1, FACES).astype(np.float32)
    total = (face.reshape(-1, FACES, EMBEDDING) * weights[..., None]).sum(1)
    return total / np.maximum(weights.sum(1), 1)[:, None], np.asarray(weights.any(1), np.bool_)

"""Training sequences that resemble real video: most of the time there is no sentiment, and most sound is neutral.

The background sound is music, noise, calm speech or silence. The picture shows no people, or things that a detector
takes for faces, or neutral faces that are silent or talk. Half of the sequences have one to three episodes of
sentiment, each up to 20 s long: an expression over the background sound, an acted voice with or without a face,
laughter, or crying and screams. Labelling rule: music, noise and calm speech are always neutral, whatever they sound
like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recipes.starter.faces.draft import SNIPPET, SOUND_STEP, Draft, Sources
from recipes.starter.faces.person import Person, show_talking
from recipes.starter.shelf import usual_level
from recipes.starter.timelines import Span
from sentiloc.model.segments import FloatArray
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE

BEDS = ("silence", "music", "noise", "calm", "music and calm", "noise and calm")
# In the order of BEDS.
_BED_CHANCES = (0.18, 0.24, 0.18, 0.18, 0.14, 0.08)
SIGHTS = ("nobody", "things", "face", "talking")
# In the order of SIGHTS.
_SIGHT_CHANCES = (0.42, 0.12, 0.22, 0.24)
CALM_SHARE = 0.5
"""Share of the sequences without any sentiment."""
_BURSTS = {POSITIVE: ("laughter",), NEGATIVE: ("crying", "screaming")}
# Minimum seconds without sentiment between two episodes; closer ones would be one segment.
_GAP = 1.5


@dataclass(frozen=True, slots=True)
class Episode:
    """A segment with sentiment, in seconds."""

    start: float
    end: float
    label: int


def everyday(rng: np.random.Generator, sources: Sources, seconds: float) -> Draft:
    """Make one sequence: background sound, shots, and in half of the sequences episodes of sentiment."""
    draft = Draft.empty(seconds)
    length = draft.snippets * SNIPPET
    episodes = [] if rng.random() < CALM_SHARE else _episodes(rng, length)
    time = 0.0
    while time < length:
        stretch = length if rng.random() < 0.5 else time + float(rng.uniform(5, 25))
        _lay_bed(rng, draft, sources, time, min(stretch, length))
        time = stretch
    _shoot(rng, draft, sources, length)
    for episode in episodes:
        _play(rng, draft, sources, episode)
        draft.spans.append(Span(episode.start, episode.end, episode.label))
    return draft


def _episodes(rng: np.random.Generator, length: float) -> list[Episode]:
    """One to three separate episodes in order; in a short sequence one episode may fill the whole length."""
    if length < 14 and rng.random() < 0.5:
        return [Episode(0.0, length, int(rng.choice((NEGATIVE, POSITIVE))))]
    found: list[Episode] = []
    time = float(rng.uniform(0, 0.5) * length)
    for _ in range(int(rng.integers(1, 4))):
        # Log-uniform, because short episodes are more frequent in real video.
        end = time + float(np.exp(rng.uniform(np.log(1.5), np.log(20))))
        if end > length:
            break
        found.append(Episode(time, end, int(rng.choice((NEGATIVE, POSITIVE)))))
        time = end + _GAP + float(rng.exponential(8))
    return found


def _lay_bed(rng: np.random.Generator, draft: Draft, sources: Sources, start: float, end: float) -> None:
    """Add neutral sound from `start` to `end` seconds."""
    bed = str(rng.choice(BEDS, p=_BED_CHANCES))
    if "calm" in bed:
        _talk(rng, draft, sources, start, end)
    for kind in ("music", "noise"):
        if kind in bed:
            under = rng.uniform(5, 25) if "calm" in bed else rng.uniform(-5, 20)
            _loop(rng, draft, sources, kind, start, end, under)


def _loop(
    rng: np.random.Generator,
    draft: Draft,
    sources: Sources,
    kind: str,
    start: float,
    end: float,
    under: float,
) -> None:
    """Repeat one recording from a random start; `under` dB below its usual level."""
    time = start
    while time < end - SOUND_STEP:
        power = sources.sound(rng, kind)
        # Not always from its start: recordings often begin with a fade or a silence.
        power = power[int(rng.integers(max(len(power) // 2, 1))) :] if time == start else power
        power = power[: max(int((end - time) / SOUND_STEP), 1)]
        draft.say(time, power * np.float32(10 ** (-under / 10)))
        time += len(power) * SOUND_STEP


def _talk(rng: np.random.Generator, draft: Draft, sources: Sources, start: float, end: float) -> None:
    """Speech of one or two people with pauses: recorded calm or, less often, acted neutral or lively speech."""
    acted = 0.2 if sources.sounds.has("calm") else 1.0
    owner = sources.sounds.label(rng, "calm") if acted < 1 else ""
    time = start + float(rng.uniform(0, 1.5))
    while time < end - 0.5:
        if acted < 1 and rng.random() < 0.15:
            owner = sources.sounds.label(rng, "calm")
        power = (
            _acted(rng, sources, int(rng.integers(len(sources.voices.speakers))), NON_SENTIMENT)
            if rng.random() < acted
            else sources.sounds.power_of(rng, "calm", owner)
        )[: int((end - time) / SOUND_STEP)]
        draft.say(time, power)
        time += len(power) * SOUND_STEP + float(rng.exponential(0.6))


def _shoot(rng: np.random.Generator, draft: Draft, sources: Sources, length: float) -> None:
    """Shots without people, of things, or of neutral faces; one kind throughout, or changing."""
    only = str(rng.choice(SIGHTS, p=_SIGHT_CHANCES)) if rng.random() < 0.45 else None
    person, time = Person(rng, sources), 0.0
    while time < length:
        end = min(time + float(rng.uniform(2, 14)), length)
        sight = only or str(rng.choice(SIGHTS, p=_SIGHT_CHANCES))
        if sight == "things":
            draft.see_things(rng, sources.stills.junk, time, end)
        elif sight == "talking" and rng.random() < 0.5:
            show_talking(rng, draft, sources, time, end)
        elif sight in ("face", "talking"):
            person = Person(rng, sources) if rng.random() < 0.4 else person
            person.show(draft, time, end, NON_SENTIMENT, ramp=0.0)
        time = end


def _play(rng: np.random.Generator, draft: Draft, sources: Sources, episode: Episode) -> None:
    """Add an episode: a face (48 %), a face and a voice or burst (22 %), a burst (24 %), or a voice (6 %)."""
    draw = rng.random()
    if draw < 0.7:
        ramp = float(rng.uniform(0.1, 0.8))
        Person(rng, sources).show(draft, episode.start, episode.end, episode.label, ramp=ramp)
    elif rng.random() < 0.6:
        draft.see_nobody(episode.start, episode.end)
    if 0.48 <= draw < 0.94:
        burst = draw >= 0.7 or rng.random() < 0.5
        _sound(rng, draft, sources, episode, burst=burst)
    elif draw >= 0.94:
        _sound(rng, draft, sources, episode, burst=False)


def _sound(
    rng: np.random.Generator, draft: Draft, sources: Sources, episode: Episode, *, burst: bool
) -> None:
    """Vocal bursts or acted speech during an episode, louder than the background."""
    kind = str(rng.choice(_BURSTS[episode.label]))
    burst = burst and sources.sounds.has(kind)
    speaker, time = int(rng.integers(len(sources.voices.speakers))), episode.start
    inside = slice(int(episode.start / SOUND_STEP), int(episode.end / SOUND_STEP))
    # The background becomes quieter, as in professionally mixed videos.
    draft.power[inside] *= np.float32(10 ** (-rng.uniform(0, 15) / 10))
    while time < episode.end - 0.3:
        power = sources.sounds.power(rng, kind) if burst else _acted(rng, sources, speaker, episode.label)
        power = power[: max(int((episode.end - time) / SOUND_STEP), 1)]
        draft.say(time, power)
        time += len(power) * SOUND_STEP + float(rng.exponential(0.4))


def _acted(rng: np.random.Generator, sources: Sources, speaker: int, label: int) -> FloatArray:
    """Mel power (frames, 60) of an acted utterance at the usual level."""
    return usual_level(sources.voices.voice(rng, speaker, label))

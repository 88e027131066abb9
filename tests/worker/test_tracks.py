"""The choice of sound: the requested track, a mixed pair, the default one, or the one with a voice; no cancellation."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder.decode import DecodeRequest
from sentiloc.worker.sound.channels import settle_layout
from sentiloc.worker.sound.mixdown import mix_to_mono
from sentiloc.worker.sound.tracks import voice_level
from tests.support.broadcast import click_times, make_broadcast
from tests.worker.test_decode import Decoded, decode_all

RATE = 48_000
SECONDS = 24
Signal = NDArray[np.float32]


def talk(seed: int = 0, rate: int = RATE) -> Signal:
    """Speech-like sound: a buzz of harmonics whose formants and loudness change four times a second."""
    rng = np.random.default_rng(seed)
    time = np.arange(SECONDS * rate) / rate
    syllables = int(SECONDS * 4)
    loud = np.interp(
        time * 4,
        np.arange(2 * syllables) / 2,
        rng.uniform(0, 1, 2 * syllables) * np.tile([1, 0.05], syllables),
    )
    sound = np.zeros_like(time)
    for harmonic in range(2, 24):
        strength = np.interp(time * 4, np.arange(syllables), rng.uniform(0, 1, syllables))
        sound += strength * np.sin(2 * np.pi * 130 * harmonic * time) / harmonic
    spoken: Signal = (0.2 * loud * sound).astype(np.float32)
    return spoken


def hum() -> Signal:
    time = np.arange(SECONDS * RATE) / RATE
    return (0.3 * np.sin(2 * np.pi * 50 * time) + 0.1 * np.sin(2 * np.pi * 400 * time)).astype(np.float32)


def music() -> Signal:
    time = np.arange(SECONDS * RATE) / RATE
    notes = np.array([220, 277, 330, 440])[(time / 2).astype(int) % 4]
    return (0.2 * np.sin(2 * np.pi * np.cumsum(notes) / RATE)).astype(np.float32)


def noise() -> Signal:
    return (0.05 * np.random.default_rng(3).normal(size=SECONDS * RATE)).astype(np.float32)


SILENCE = np.zeros(SECONDS * RATE, np.float32)


def make(
    path: Path,
    tracks: list[tuple[list[Signal], str]],
    default: list[int] | None = None,
    codec: str = "pcm_s16le",
    layout: str | None = None,
) -> None:
    """A small video with sound tracks, each (channels, language); `layout` is for more than two channels."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=5)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        streams: list[Any] = []
        for number, (channels, language) in enumerate(tracks):
            stream: Any = container.add_stream(codec, rate=RATE)
            stream.codec_context.layout = layout or {1: "mono", 2: "stereo"}[len(channels)]
            stream.metadata["language"] = language
            is_default = default is None or number in default
            stream.disposition = av.stream.Disposition.default if is_default else av.stream.Disposition(0)
            streams.append(stream)
        for index in range(SECONDS * 5):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index, np.uint8), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 5)
            container.mux(video.encode(frame))
            for stream, (channels, _) in zip(streams, tracks, strict=True):
                part = slice(index * RATE // 5, (index + 1) * RATE // 5)
                packed = np.stack([channel[part] for channel in channels], axis=1).reshape(1, -1)
                sound = av.AudioFrame.from_ndarray(
                    (packed * 32767).astype(np.int16), "s16", stream.layout.name
                )
                sound.sample_rate, sound.time_base, sound.pts = RATE, Fraction(1, RATE), part.start
                container.mux(stream.encode(sound))
        container.mux(video.encode(None))
        for stream in streams:
            container.mux(stream.encode(None))


REQUEST = DecodeRequest(frame_rate=5, face_samples=(0,), audio_rate=16_000)


def heard(path: Path, audio_track: int | None = None) -> Decoded:
    return decode_all(
        path, DecodeRequest(frame_rate=5, face_samples=(0,), audio_rate=16_000, audio_track=audio_track)
    )


def likeness(sound: Signal, wanted: Signal) -> float:
    """Correlation of loudness over time (50 ms)."""
    level = np.abs(sound[: len(sound) // 800 * 800]).reshape(-1, 800).mean(axis=1)
    truth = np.abs(wanted[: len(wanted) // 2400 * 2400]).reshape(-1, 2400).mean(axis=1)
    count = min(len(level), len(truth))
    return float(np.corrcoef(level[:count], truth[:count])[0, 1])


@pytest.mark.parametrize(
    "other", [SILENCE, hum(), music(), noise()], ids=["silence", "hum", "music", "noise"]
)
def test_a_voice_is_distinguished_from_other_sounds(other: Signal) -> None:
    assert voice_level(talk()[::6]) > 1.5 * voice_level(other[::6])


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
@pytest.mark.parametrize("other", [hum(), music(), noise()], ids=["hum", "music", "noise"])
def test_without_a_default_track_the_voice_is_used(tmp_path: Path, other: Signal, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    make(path, [([other, other], "eng"), ([talk(), talk()], "eng")])
    decoded = heard(path)
    track = decoded.info.audio_track
    assert track is not None
    assert (track.numbers, track.count, track.chosen, track.layout) == ((2,), 2, "voice", "stereo")
    assert likeness(decoded.sound, talk()) > 0.95


@pytest.mark.parametrize("default", [0, 1])
def test_the_default_track_is_used_unless_it_is_silent(tmp_path: Path, default: int) -> None:
    path = tmp_path / "clip.mkv"
    tracks = [([talk(1), talk(1)], "eng"), ([talk(2), talk(2)], "deu")]
    make(path, tracks, [default])
    decoded = heard(path)
    track = decoded.info.audio_track
    assert track is not None
    assert (track.numbers, track.chosen, track.language) == (
        (default + 1,),
        "default",
        ("eng", "deu")[default],
    )
    assert likeness(decoded.sound, tracks[default][0][0]) > 0.95
    make(path, [([SILENCE, SILENCE], "eng"), ([talk(2), talk(2)], "deu")], [0])
    assert likeness(heard(path).sound, talk(2)) > 0.95


def test_two_mono_tracks_are_mixed_and_a_silent_one_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "clip.mov"
    make(path, [([talk(1)], "und"), ([talk(2)], "und")])
    decoded = heard(path)
    track = decoded.info.audio_track
    assert track is not None
    assert (track.numbers, track.chosen) == ((1, 2), "mixed")
    assert likeness(decoded.sound, talk(1)) > 0.5
    assert likeness(decoded.sound, talk(2)) > 0.5
    assert len(decoded.sound) == pytest.approx(SECONDS * 16_000, abs=400)
    make(path, [([SILENCE], "und"), ([talk(2)], "und")])
    alone = heard(path)
    assert alone.info.audio_track is not None
    assert alone.info.audio_track.numbers == (2,)
    make(path, [([talk(1)], "und"), ([-talk(1)], "und")])
    assert likeness(heard(path).sound, talk(1)) > 0.95


def test_a_track_can_be_requested(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    make(path, [([talk(1)], "eng"), ([hum()], "eng")])
    decoded = heard(path, 2)
    assert decoded.info.audio_track is not None
    assert (decoded.info.audio_track.numbers, decoded.info.audio_track.chosen) == ((2,), "asked")
    assert likeness(decoded.sound, talk(1)) < 0.3
    with pytest.raises(SentilocError, match="no usable sound track 3") as caught:
        heard(path, 3)
    assert caught.value.code is ErrorCode.INVALID_DATA


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_opposite_phase_does_not_cancel(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    make(path, [([talk(), -talk()], "eng")])
    assert likeness(heard(path).sound, talk()) > 0.95
    make(path, [([hum() + talk(), hum() - talk()], "eng")])
    sound = heard(path).sound
    low = np.abs(np.fft.rfft(sound))[int(45 * SECONDS) : int(55 * SECONDS)].max()
    assert low > 1000
    assert float(np.std(sound)) > 0.2 * float(np.std(hum()))


def test_equal_tracks_give_their_mean() -> None:
    left = talk()[::3][:8000]
    both = np.stack([left, left * np.float32(0.8)])
    assert np.array_equal(mix_to_mono(both), (both[0] + both[1]) * np.float32(0.5))


@pytest.mark.parametrize("count", [1, 100, 8000, 8191])
def test_turned_channels_keep_their_place(count: int) -> None:
    left = np.sin(np.arange(count) * 0.1).astype(np.float32)
    assert mix_to_mono(np.stack([left, -left])) == pytest.approx(left, abs=1e-5)


def test_a_changing_layout_loses_no_time(tmp_path: Path) -> None:
    path = tmp_path / "clip.ts"
    clicks = make_broadcast(path, every=20)
    decoded = decode_all(path, DecodeRequest(face_samples=(0,), audio_rate=16_000))
    found = click_times(decoded.sound, 16_000)
    assert len(found) == len(clicks)
    offsets = [a - b for a, b in zip(found, clicks, strict=True)]
    assert max(offsets) - min(offsets) < 0.02


@pytest.mark.parametrize(
    ("suffix", "count", "layout"),
    [
        (".mov", 16, "hexadecagonal"),
        (".mkv", 3, "3 channels"),
        (".mkv", 10, "10 channels"),
        (".mkv", 32, "32 channels"),
    ],
)
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_no_channel_of_many_is_lost(
    tmp_path: Path, suffix: str, count: int, layout: str, place: float
) -> None:
    """Cameras write a track whose channels are separate microphones."""
    path = tmp_path / f"clip{suffix}"
    channels = [SILENCE] * count
    channels[round(place * (count - 1))] = talk()
    make(path, [(channels, "eng")], layout=layout)
    decoded = heard(path)
    assert decoded.info.audio_track is not None
    assert likeness(decoded.sound, talk()) > 0.95


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_a_voice_on_the_right_alone_is_found(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    make(path, [([music(), music()], "eng"), ([SILENCE, talk()], "eng")])
    decoded = heard(path)
    assert decoded.info.audio_track is not None
    assert decoded.info.audio_track.numbers == (2,)
    assert likeness(decoded.sound, talk()) > 0.95


@pytest.mark.parametrize(("layout", "count"), [("5.1(side)", 6), ("quad(side)", 4), ("5.1", 6)])
def test_a_layout_with_brackets_in_its_name_keeps_its_positions(
    tmp_path: Path, layout: str, count: int
) -> None:
    path = tmp_path / "clip.mov"
    make(path, [([talk()] * count, "eng")], layout=layout)
    with av.open(str(path)) as container:
        (sound,) = container.streams.audio
        settle_layout(sound.codec_context)
        assert next(container.decode(sound)).layout.name == layout


# Channels in this order: left, right, centre, subwoofer, side left and right, back left and right.
UNUSUAL_ORDER = 128 << 16 | 8


def test_channels_in_an_unusual_order_do_not_break_the_decoder(tmp_path: Path) -> None:
    """QuickTime's channel layout tags, in the box `chan`, allow orders for which libav lists the channels."""
    path = tmp_path / "clip.mov"
    make(path, [([SILENCE] * 7 + [talk()], "eng")], layout="7.1")
    data = bytearray(path.read_bytes())
    at = data.index(b"chan") + 8
    data[at : at + 4] = UNUSUAL_ORDER.to_bytes(4, "big")
    path.write_bytes(data)
    decoded = heard(path)
    assert decoded.info.audio_track is not None
    assert decoded.info.audio_track.layout == "8 channels"
    assert likeness(decoded.sound, talk()) > 0.95

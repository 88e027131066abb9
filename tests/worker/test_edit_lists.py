"""Edit lists of MP4 (ISO 14496-12, 8.6.6): the pictures that they show, at the times at which a player shows them."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.media import make_clip
from tests.worker.test_decode import decode_all

MOVIE_TICKS = 1000
FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"
Edit = tuple[float, float]
"""Seconds that are shown, and from which second of the track."""


def set_edits(path: Path, edits: list[Edit]) -> None:
    """Replace the edit list of an MP4's only track. Its `moov` is the last box, so that nothing else moves."""
    data = path.read_bytes()
    moov = data.index(b"moov") - 4
    trak, edts = (data.index(kind, moov) - 4 for kind in (b"trak", b"edts"))
    old = size_at(data, edts)
    (shift,) = struct.unpack(">i", data[edts + 28 : edts + 32])
    ticks = struct.unpack(">I", data[(at := data.index(b"mdhd", moov) + 16) : at + 4])[0]
    rows = b"".join(
        struct.pack(
            ">Iihh",
            round(length * MOVIE_TICKS),
            shift + round(begin * ticks),
            1,
            0,
        )
        for length, begin in edits
    )
    elst = struct.pack(">I4sII", 16 + len(rows), b"elst", 0, len(edits)) + rows
    new = struct.pack(">I4s", 8 + len(elst), b"edts") + elst
    changed = bytearray(data[:edts] + new + data[edts + old :])
    for box in (moov, trak):
        changed[box : box + 4] = struct.pack(">I", size_at(data, box) + len(new) - old)
    path.write_bytes(changed)


def size_at(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def shown(edits: list[Edit]) -> list[float]:
    """The seconds of the track on each frame of a grid of 25 frames per second."""
    return [begin + k / 25 for length, begin in edits for k in range(round(length * 25))]


@pytest.mark.parametrize(
    "edits",
    [
        pytest.param([(2.4, 0.0), (4.0, 4.0)], id="a part is cut out"),
        pytest.param([(3.2, 0.0), (3.2, 0.0)], id="a part is repeated"),
        pytest.param([(4.0, 4.0), (4.0, 0.0)], id="the halves are swapped"),
        pytest.param([(1.0, 6.2), (1.0, 3.3), (1.0, 0.4)], id="three parts between keyframes"),
        pytest.param([(4.5, 2.3)], id="the start is cut off"),
    ],
)
def test_a_player_s_order_and_times_are_kept(tmp_path: Path, edits: list[Edit]) -> None:
    path = tmp_path / "clip.mp4"
    make_clip(path, seconds=8)
    set_edits(path, edits)
    decoded = decode_all(path)
    wanted = shown(edits)
    assert decoded.end.duration == pytest.approx(len(wanted) / 25, abs=0.05)
    assert "mended_timestamps" not in {str(warning.code) for warning in decoded.end.warnings}
    # Where an edit begins between two pictures, libav shows one of them.
    differs = np.abs(np.array(decoded.times[: len(wanted)]) - wanted) > 0.045
    assert differs.sum() <= len(edits) - 1, np.flatnonzero(differs)


def test_an_edit_of_no_length_hides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    clip = make_clip(path, seconds=4)
    set_edits(path, [(0.0, 0.0)])
    decoded = decode_all(path)
    assert decoded.end.duration == pytest.approx(4.0, abs=0.1)
    np.testing.assert_allclose(decoded.times[:90], clip.frame_times[:90], atol=0.085)


@pytest.mark.parametrize("hours", [0, 1, 30])
def test_fragments_may_start_at_any_time(tmp_path: Path, hours: int) -> None:
    """A recorder of a live stream keeps its stamps. libav takes the last of them for the length."""
    path, moved = tmp_path / "clip.mp4", tmp_path / "moved.mp4"
    make_clip(path, seconds=4)
    with av.open(str(path)) as source, av.open(str(moved), "w", options={"movflags": FRAGMENTED}) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    data = bytearray(moved.read_bytes())
    at, ticks = 0, int(1 / (av.open(str(moved)).streams.video[0].time_base or 1))
    while (at := data.find(b"tfdt", at + 1)) > 0:
        place = slice(at + 8, at + (16 if data[at + 4] else 12))
        start = int.from_bytes(data[place]) + hours * 3600 * ticks
        data[place] = start.to_bytes(place.stop - place.start)
    moved.write_bytes(data)
    decoded = decode_all(moved)
    assert decoded.info.duration == pytest.approx(4.0, abs=0.1)
    assert decoded.end.duration == pytest.approx(4.0, abs=0.1)
    assert decoded.end.warnings == ()

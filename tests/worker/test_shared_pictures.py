"""Pictures in the memory that a decoder shares: lent without a copy, and given back when nobody uses them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from mmap import mmap
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.worker.decoder.channel import Sender
from sentiloc.worker.decoder.decode import DecodeLimits, DecodeRequest, SnippetFrames, decode
from sentiloc.worker.decoder.process import SLOTS
from sentiloc.worker.decoder.shared_pictures import SharedPictures
from tests.support.media import make_clip

SIZE = 16


@pytest.fixture(name="pipe")
def _pipe() -> Iterator[tuple[int, int]]:
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    yield read_fd, write_fd
    os.close(read_fd)
    os.close(write_fd)


def given_back(read_fd: int) -> list[int]:
    """The numbers of the slots that were given back since the last call."""
    try:
        return list(os.read(read_fd, 100))
    except BlockingIOError:
        return []


def test_a_slot_is_given_back_when_no_view_of_it_is_left(pipe: tuple[int, int]) -> None:
    memory = mmap(-1, 4 * SIZE)
    with SharedPictures(memory, pipe[1], most_lent=2) as pictures:
        whole = pictures.lent(1, SIZE, SIZE)
        row = whole.reshape(4, 4)[2, 1:]
        del whole
        assert given_back(pipe[0]) == []
        memory[SIZE + 9] = 7
        assert row.tolist() == [7, 0, 0], "the memory itself"
        with pytest.raises(ValueError, match="read-only"):
            row[0] = 1
        del row
        assert given_back(pipe[0]) == [1]


def test_slots_are_given_back_in_the_order_in_which_they_become_free(pipe: tuple[int, int]) -> None:
    with SharedPictures(mmap(-1, 4 * SIZE), pipe[1], most_lent=3) as pictures:
        kept = {slot: pictures.lent(slot, slot * SIZE, SIZE) for slot in (0, 1, 2)}
        for slot in (1, 2, 0):
            del kept[slot]
        assert given_back(pipe[0]) == [1, 2, 0]


def test_too_many_lent_slots_are_copied_and_given_back_at_once(pipe: tuple[int, int]) -> None:
    memory = mmap(-1, 4 * SIZE)
    with SharedPictures(memory, pipe[1], most_lent=1) as pictures:
        first, second = pictures.lent(0, 0, SIZE), pictures.lent(1, SIZE, SIZE)
        assert given_back(pipe[0]) == [1]
        memory[:] = b"\x05" * len(memory)
        assert first[0] == 5
        assert not second.any(), "a copy"
        del first, second
        assert given_back(pipe[0]) == [0]
        third = pictures.lent(2, 0, SIZE)
        assert given_back(pipe[0]) == [], "there is room again"
        assert third[0] == 5


def test_what_is_lent_outlives_the_decoder_and_writes_to_no_other_file(pipe: tuple[int, int]) -> None:
    memory = mmap(-1, 4 * SIZE)
    with SharedPictures(memory, pipe[1], most_lent=1) as pictures:
        memory[0] = 9
        kept = pictures.lent(0, 0, SIZE)
    assert kept[0] == 9
    del kept
    assert given_back(pipe[0]) == []


def test_a_decoder_that_reads_no_numbers_does_not_stop_its_reader(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe[1], bytes(4096))
    os.set_blocking(pipe[1], True)
    done = Event()

    def give_back() -> None:
        with SharedPictures(mmap(-1, SIZE), pipe[1], most_lent=0) as pictures:
            pictures.lent(0, 0, SIZE)
        done.set()

    Thread(target=give_back, daemon=True).start()
    assert done.wait(60.0)


@pytest.fixture(scope="module", name="clip")
def _clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    make_clip(path, seconds=4.0)
    return path


def faces(clip: Path, keeps: int) -> list[NDArray[np.uint8]]:
    """All pictures of a clip, read at the end: one that was overwritten meanwhile would differ."""
    request = DecodeRequest(face_samples=(4, 12))
    with closing(decode(clip, request, DecodeLimits(threads=1), keeps=keeps)) as events:
        return [event.faces for event in events if isinstance(event, SnippetFrames)]


def test_pictures_that_are_kept_are_not_overwritten(clip: Path) -> None:
    copies = faces(clip, 0)
    assert len(copies) > SLOTS + 2
    # Fewer than all, as many as all, and more.
    for keeps in (2, len(copies), 300):
        assert np.array_equal(faces(clip, keeps), copies)


def test_a_decoder_fills_the_slot_first_that_was_given_back_last(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[0], True)
    sender = Sender(-1, pipe[0], slots=4)
    assert [sender.take_slot() for _ in range(2)] == [0, 1]
    os.write(pipe[1], bytes([1, 0]))
    assert [sender.take_slot() for _ in range(4)] == [0, 1, 2, 3], "memory that is there before new memory"
    waiting = Thread(target=os.write, args=(pipe[1], bytes([3])))
    waiting.start()
    assert sender.take_slot() == 3, "it waits for a slot"
    waiting.join()


def test_a_decoder_ends_when_nobody_will_give_slots_back() -> None:
    read_fd, write_fd = os.pipe()
    sender = Sender(-1, read_fd, slots=1)
    assert sender.take_slot() == 0
    os.close(write_fd)
    with pytest.raises(BrokenPipeError):
        sender.take_slot()
    os.close(read_fd)

"""Stages keep the order, limit the faster side, forward errors, and end with their thread."""

from __future__ import annotations

import threading

import pytest

from sentiloc.worker.extraction.stages import Stage, StageClock


def _nothing() -> None:
    pass


def _wait(event: threading.Event) -> None:
    event.wait()


def test_works_in_order_and_on_another_thread() -> None:
    done: list[tuple[int, int]] = []
    with Stage[int](lambda item: done.append((item, threading.get_ident())), _nothing) as stage:
        for item in range(50):
            stage.put(item)
        stage.finish()
    assert [item for item, _ in done] == list(range(50))
    assert threading.get_ident() not in {thread for _, thread in done}


def test_the_end_is_announced_on_the_same_thread_after_the_last_item() -> None:
    done: list[tuple[str, int]] = []

    def note(what: str) -> None:
        done.append((what, threading.get_ident()))

    with Stage[int](lambda _: note("item"), _nothing, lambda: note("end")) as stage:
        stage.put(0)
        stage.put(1)
        stage.finish()
    assert [what for what, _ in done] == ["item", "item", "end"]
    assert len({thread for _, thread in done}) == 1


def test_an_error_at_the_end_reaches_the_one_who_finishes() -> None:
    def fail() -> None:
        raise ValueError("bad end")

    with pytest.raises(ValueError, match="bad end"), Stage[int](lambda _: None, _nothing, fail) as stage:
        stage.finish()


def test_put_waits_while_one_item_waits_and_one_is_worked_on() -> None:
    may_go, put = threading.Event(), 0

    def release_after_a_wait() -> None:
        assert may_go.is_set() or put <= 2
        may_go.set()

    with Stage[int](lambda _: _wait(may_go), release_after_a_wait) as stage:
        for _ in range(3):
            stage.put(0)
            put += 1
        stage.finish()
    assert may_go.is_set()


@pytest.mark.parametrize("items", [1, 5])
def test_an_error_reaches_the_one_who_puts_or_finishes(items: int) -> None:
    def fail(_: int) -> None:
        raise ValueError("bad item")

    with pytest.raises(ValueError, match="bad item"), Stage[int](fail, _nothing) as stage:
        for item in range(items):
            stage.put(item)
        stage.finish()
    assert not any(thread.name == stage.thread_name for thread in threading.enumerate())


def test_leaving_early_drops_the_queue_and_ends_the_thread() -> None:
    entered, may_go, done = threading.Event(), threading.Event(), []

    def work(item: int) -> None:
        entered.set()
        may_go.wait()
        done.append(item)

    with pytest.raises(KeyError), Stage[int](work, _nothing) as stage:
        stage.put(1)
        entered.wait()
        stage.put(2)
        threading.Timer(0.01, may_go.set).start()
        raise KeyError
    assert done in ([1], [1, 2])
    assert not any(thread.name == stage.thread_name for thread in threading.enumerate())


def test_exceptions_of_on_wait_are_raised() -> None:
    may_go = threading.Event()

    def cancelled() -> None:
        may_go.set()
        raise InterruptedError

    with pytest.raises(InterruptedError), Stage[int](lambda _: _wait(may_go), cancelled) as stage:
        while True:
            stage.put(0)


def test_the_clock_adds_up_stage_by_stage() -> None:
    clock = StageClock()
    for _ in range(2):
        with clock.time("face"):
            pass
    with pytest.raises(ValueError, match="counts too"), clock.time("audio"):
        raise ValueError("counts too")
    assert set(clock.seconds) == {"face", "audio"}
    assert all(seconds >= 0 for seconds in clock.seconds.values())

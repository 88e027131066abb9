"""The report of `bench.gpu`: timed rows, and what was left out and why."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import onnxruntime as ort
import torch

from bench.harness import save
from sentiloc.model.errors import SentilocError

Run = Callable[[], object]


class Report:
    """Rows of results, and what was left out with the reason; measures no more once the time budget is spent."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._deadline = time.monotonic() + options.budget
        self._repeats, self._device, self._out = options.repeats, options.device, options.out
        self.content: dict[str, Any] = {
            "device": device_name(options.device),
            "versions": {"torch": torch.__version__, "onnxruntime": ort.__version__},
            "matrix_flops": {},
            "rows": [],
            "end_to_end": [],
            "left_out": [],
        }

    def leave_out(self, what: str, reason: object) -> None:
        """Record that something was not measured."""
        first = (str(reason).strip().splitlines() or [type(reason).__name__])[0][:200]
        self.content["left_out"].append({"what": what, "reason": first})
        print(f"left out: {what}: {first}", flush=True)

    def is_late(self, what: str) -> bool:
        """Whether the budget is spent; if so, `what` is recorded as left out."""
        if time.monotonic() > self._deadline:
            self.leave_out(what, "the time budget is spent")
            return True
        return False

    def measure(
        self, what: str, snippets: int, flops: float, peak: float | None, prepare: Callable[[], Run]
    ) -> None:
        """Measure one row: the median of the repeats after a warm-up run."""
        if self.is_late(what):
            return
        used = memory_used(self._device)
        try:
            run = prepare()
            run()
            seconds = median(self._timed(run) for _ in range(self._repeats))
        except (
            RuntimeError,
            ValueError,
            SentilocError,
            ImportError,
            ort.capi.onnxruntime_pybind11_state.Fail,
        ) as error:
            self.leave_out(what, error)
            return
        finally:
            if self._device == "cuda":
                torch.cuda.empty_cache()
        rate = snippets / seconds
        row = {
            "what": what,
            "snippets_a_second": rate,
            "share_of_matrix_throughput": None if peak is None else rate * flops / peak,
            "memory_mib": (memory_used(self._device, peak=True) - used) / 2**20,
        }
        self.content["rows"].append(row)
        share = "" if peak is None else f"{100 * rate * flops / peak:7.1f} %"
        print(f"{what:48}{rate:12.1f} snippets/s{share}{row['memory_mib']:9.0f} MiB", flush=True)
        save(self._out, self.content)

    def _timed(self, run: Run) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start


def device_name(device: str) -> str:
    """The card's name; for a processor, the words "dry run"."""
    return torch.cuda.get_device_name() if device == "cuda" else "cpu (dry run)"


def memory_used(device: str, *, peak: bool = False) -> float:
    """Bytes in use on the card (with `peak`, at least the maximum that PyTorch held); 0 on a processor."""
    if device != "cuda":
        return 0.0
    free, total = torch.cuda.mem_get_info()
    return float(max(total - free, torch.cuda.max_memory_reserved() if peak else 0))


def synchronized(device: str, call: Callable[[], object]) -> Run:
    """`call`, followed by a wait until the card has finished."""

    def run() -> None:
        with torch.inference_mode():
            call()
        if device == "cuda":
            torch.cuda.synchronize()

    return run

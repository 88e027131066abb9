"""Cut options with the changes that a caller of the Python API makes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sentiloc.model.arguments import LONGEST_SECONDS, number, texts
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.results.result import SegmentOptions


def changed_options(
    default: SegmentOptions,
    known: Collection[str],
    threshold: float | None,
    min_length: float | None,
    merge_gap: float | None,
    labels: Sequence[str] | None,
) -> SegmentOptions:
    """`default` with the values that are not None; raises `invalid_data` for invalid values.

    `known` are the labels of the model: `default` may show fewer.
    """
    changes: dict[str, Any] = {}
    if threshold is not None:
        changes["threshold"] = number("threshold", threshold, 0, 1, "a number from 0 to 1")
    for name, seconds in (("min_length", min_length), ("merge_gap", merge_gap)):
        if seconds is not None:
            # JSON has no infinity, so it would only fail when the result is written.
            changes[name] = number(name, seconds, 0, LONGEST_SECONDS, "a number of seconds from 0 to 1e9")
    if labels is not None:
        labels = texts("labels", labels, f"a list of labels, such as [{next(iter(known), '')!r}]")
        changes["labels"] = tuple(sorted(set(labels)))
    if unknown := sorted(set(labels or ()) - set(known)):
        detail = f"no label {', '.join(unknown)}; the model has: {', '.join(known)}"
        raise SentilocError(ErrorCode.INVALID_DATA, detail)
    return replace(default, **changes)

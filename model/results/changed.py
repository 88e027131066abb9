"""Cut options with the changes that a caller of the Python API makes."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

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
    if threshold is not None and not 0 <= threshold <= 1:
        raise SentilocError(ErrorCode.INVALID_DATA, f"threshold {threshold:g} is not between 0 and 1")
    for name, seconds in (("min_length", min_length), ("merge_gap", merge_gap)):
        # JSON has no infinity, so it would only fail when the result is written.
        if seconds is not None and not 0 <= seconds < math.inf:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{name} {seconds:g} is not a number of seconds")
    if isinstance(labels, str):
        # A string is a sequence, too, of its letters.
        raise SentilocError(ErrorCode.INVALID_DATA, f"labels is a list, such as [{labels!r}]")
    labels = None if labels is None else tuple(labels)
    if unknown := sorted(set(labels or ()) - set(known)):
        detail = f"no label {', '.join(unknown)}; the model has: {', '.join(known)}"
        raise SentilocError(ErrorCode.INVALID_DATA, detail)
    changes = {"threshold": threshold, "min_length": min_length, "merge_gap": merge_gap}
    chosen = {name: value for name, value in changes.items() if value is not None}
    return replace(default, **chosen, labels=default.labels if labels is None else tuple(sorted(set(labels))))

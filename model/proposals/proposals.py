"""Turns frame scores into proposals by the benchmark's rule (`tsl300`) or the serving rule (`serving`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.proposals.rule import DEFAULT_RULE, ServingRule, select_segments, serving_proposals
from sentiloc.model.proposals.tsl300 import tsl300_proposals
from sentiloc.model.proposals.tsl300 import video_scores as top_video_scores
from sentiloc.model.segments import Proposal
from sentiloc.model.spec import NON_SENTIMENT, SNIPPET_FRAMES

__all__ = [
    "DEFAULT_RULE",
    "Proposal",
    "ServingRule",
    "propose",
    "select_segments",
    "serving_proposals",
    "top_video_scores",
    "tsl300_proposals",
]


def propose(
    scores: NDArray[np.float64], video_scores: NDArray[np.float64], fps: float, rule: str = "tsl300"
) -> list[Proposal]:
    """Proposals of one video by the named rule.

    scores (T, 3): negative, positive, non-sentiment after the sigmoid, before the class × (1 - non-sentiment)
    product. video_scores (2,): negative, positive; only `tsl300` uses them. fps: frames per second that the
    snippets were cut at. Labels are the benchmark's, n and p, for `tsl300`, else negative and positive.
    `serving` takes 1 - non-sentiment for the saliency here; with the network's own, call `serving_proposals`.
    """
    if rule == "tsl300":
        return tsl300_proposals(scores, video_scores, fps)
    if rule == "serving":
        return serving_proposals(scores, 1 - np.asarray(scores)[:, NON_SENTIMENT], SNIPPET_FRAMES / fps)
    raise SentilocError(ErrorCode.INVALID_DATA, f"no proposal rule is called {rule!r}")

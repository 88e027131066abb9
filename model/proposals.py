"""Frame scores to proposals: the benchmark's rule (`tsl300`) and the one that serves (`serving`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.errors import ErrorCode, SentilocError
from model.segments import Proposal
from model.tsl300 import tsl300_proposals


def propose(
    scores: NDArray[np.float64], video_scores: NDArray[np.float64], fps: float, rule: str = "tsl300"
) -> list[Proposal]:
    """Proposals of one video by the named rule.

    scores (T, 3): negative, positive, non-sentiment after the sigmoid, before the class × (1 − non-sentiment)
    product. video_scores (2,): negative, positive. fps: frames per second that the snippets were cut at.
    """
    if rule == "tsl300":
        return tsl300_proposals(scores, video_scores, fps)
    raise SentilocError(ErrorCode.INVALID_DATA, f"no proposal rule is called {rule!r}")

"""States in the records of jobs what people corrected before records stated it (1.0.0 and earlier)."""

from __future__ import annotations

import logging

from sentiloc.app.jobs.feedback import FeedbackStore

logger = logging.getLogger(__name__)

# Jobs with feedback that one step looks at.
_STEP = 200


class OldCorrections:
    """Looks once at all jobs with feedback, a part at each step. Every step may be repeated."""

    def __init__(self, feedback: FeedbackStore) -> None:
        self._feedback = feedback
        self._cursor = 0
        self._is_done = False

    def step(self) -> int:
        """Look at the next part; returns the number of records that state their corrections from now on."""
        if self._is_done:
            return 0
        following, unstated = self._feedback.unstated(self._cursor, _STEP)
        stated = sum(self._feedback.state(job_id, latest) for job_id, latest in unstated.items())
        if stated:
            logger.info("stated the corrections of %d jobs of an earlier version", stated)
        self._cursor, self._is_done = following, following == 0
        return stated

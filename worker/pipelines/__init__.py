"""From a video to its result: one pipeline per task."""

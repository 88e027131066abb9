"""Results of a video, for every task."""

"""The answer for one video, in every task."""

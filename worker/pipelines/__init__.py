"""The whole way of one video, one pipeline for each task."""

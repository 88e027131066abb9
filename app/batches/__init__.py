"""Batches: many videos sent in one request, and what their jobs have come to."""

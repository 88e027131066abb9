"""Batches: many videos sent in one request, and the state of their jobs."""

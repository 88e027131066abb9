"""Batches: send, follow, read and export many jobs together."""

"""Breaks a real service in every way that a machine or a client can, and counts lost jobs."""

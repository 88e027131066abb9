"""Extraction of snippet features from a decoded video, and their cache."""

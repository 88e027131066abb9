"""Labelled videos in memory and snippet features on disk."""

"""Reduced precision of the visual network and its effect."""

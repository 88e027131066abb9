"""Timing of pictures and sound: frame rates and repaired time stamps."""

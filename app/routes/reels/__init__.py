"""Highlights of results, cuts for editing programs, and rendered reels."""

"""Reels: parts of videos, decoded in the sandbox, joined with cross-fades, and encoded in a second sandbox.

Where the cuts allow it, packets are copied instead.
"""

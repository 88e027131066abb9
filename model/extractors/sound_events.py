"""What a sound is: the events that the audio encoder tells apart."""

from __future__ import annotations

EVENTS = (
    "speech",
    "singing",
    "laughter",
    "crying",
    "screaming",
    "applause",
    "music",
    "noise",
    "silence",
)
"""Several may sound at once; applause includes cheering."""

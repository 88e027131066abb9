"""Sound on the video's time line: choice of the track, mixing, and position."""

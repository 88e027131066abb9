"""Sound on the video's time line: which track, how it is mixed, where it lies."""

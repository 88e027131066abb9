"""A video file as the decoder sees it: its container, streams and packets, and what is accepted."""

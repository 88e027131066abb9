"""The plan of a reel: what it shows. Jobs store it and workers read it."""

"""What a reel is to show: its plan, as jobs keep it and workers read it."""

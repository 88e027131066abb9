"""Results drawn on a terminal or as a picture."""

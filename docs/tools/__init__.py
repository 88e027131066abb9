"""Makes the pictures and figures of the docs."""

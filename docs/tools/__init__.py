"""Makes the pictures, figures and tables of the docs."""

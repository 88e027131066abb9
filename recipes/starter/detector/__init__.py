"""The shipped face detector: data, training, export."""

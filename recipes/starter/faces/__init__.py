"""The shipped expression network: data, training, export."""

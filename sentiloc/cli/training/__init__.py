"""Commands that prepare data, train, evaluate and export."""

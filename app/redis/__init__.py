"""Redis clients and the shared, reconnecting connection."""

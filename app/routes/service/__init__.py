"""The service itself: page, health, metrics, models, the caller's key."""

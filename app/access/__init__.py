"""API keys, callers, rate limits and usage."""

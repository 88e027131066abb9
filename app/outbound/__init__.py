"""HTTP client for user-supplied URLs (SSRF-safe)."""

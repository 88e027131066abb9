"""The JSON that clients send and receive, as pydantic models."""

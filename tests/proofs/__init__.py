"""Slow proofs of reliability and security, one command each."""

"""Prepares pictures for display: deinterlaced, and in the colours of ordinary screens."""

"""Scales pictures, and prepares them for display: deinterlaced, and in the colours of ordinary screens."""

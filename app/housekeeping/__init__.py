"""Background sweeps: orphaned jobs and expired files."""

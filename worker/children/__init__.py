"""Child processes: a fresh confined one, or one forked from a process that has imported everything."""

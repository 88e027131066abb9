"""Lists of jobs: filtered, sorted and counted."""

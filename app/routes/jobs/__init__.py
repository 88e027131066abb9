"""Jobs: submit, list, follow, delete, correct."""

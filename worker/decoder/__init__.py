"""The confined decoder: a child process that opens untrusted media, and the parent's side of it."""

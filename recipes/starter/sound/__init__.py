"""The shipped audio encoder's second stage: real sounds, real music, calm voices, and what each of them is."""

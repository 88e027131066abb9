"""From results to a film: highlights, cuts for editing programs, rendered reels."""

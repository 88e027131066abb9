"""From a decoded video to snippet features, and their cache."""

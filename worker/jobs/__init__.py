"""One job from claim to end: lease, fetch, run, report."""

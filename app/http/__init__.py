"""What HTTP needs beneath the routes: connections, bodies, ETags, problems."""

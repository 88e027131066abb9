"""HTTP below the routes: connections, bodies, ETags, problems."""

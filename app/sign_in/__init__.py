"""People sign in on the page with OpenID Connect: the provider, and what its claims allow."""

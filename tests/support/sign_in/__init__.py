"""A real OpenID Connect provider for tests: the certified `oidc-provider` of npm."""

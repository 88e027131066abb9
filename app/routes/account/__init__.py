"""The account: API keys, registered webhooks, usage."""

"""Webhook deliveries: their store and their sender."""

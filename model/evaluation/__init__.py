"""Metrics and error diagnosis of temporal localization."""

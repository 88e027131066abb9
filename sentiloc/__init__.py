"""Sentiloc finds when a video conveys positive or negative sentiment."""

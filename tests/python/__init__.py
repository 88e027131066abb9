"""Tests of the Python API, of the distributions and of what a checkout needs."""

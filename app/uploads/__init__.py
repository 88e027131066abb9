"""Uploads: multipart forms and the tus protocol."""

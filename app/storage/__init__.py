"""Storage of videos and results: a folder or an S3 bucket."""

"""Where videos and results are kept: a folder or an S3 bucket."""

"""What a finished job holds: result, exports, curve, thumbnails."""

"""The data of a finished job: result, exports, curve, thumbnails."""

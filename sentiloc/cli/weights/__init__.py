"""`sentiloc weights`: list, fetch, quantize and compare weights, and try them on a video."""

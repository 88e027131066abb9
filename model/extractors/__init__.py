"""Feature extractors: I3D, expression, face detection, log-mel, speech."""

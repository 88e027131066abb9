"""From scores to proposals and segments: rules, NMS, calibration."""

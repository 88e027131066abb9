"""Turns scores into proposals and segments: rules, NMS, calibration."""

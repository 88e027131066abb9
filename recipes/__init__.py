"""How the shipped models are made."""

# Before any module here imports ONNX Runtime, whose telemetry this switches off.
import sentiloc  # noqa: F401

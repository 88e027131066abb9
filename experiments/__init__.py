"""Scientific experiments: ablations, simulated benchmarks, accuracy of the shipped models."""

# Before any module here imports ONNX Runtime, whose telemetry this switches off.
import sentiloc  # noqa: F401

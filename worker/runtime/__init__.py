"""ONNX Runtime sessions and the CPU quota."""

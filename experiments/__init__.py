"""Scientific experiments: ablations, simulated benchmarks, accuracy of the shipped models."""

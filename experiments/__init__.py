"""Studies of the science: ablations, simulated benchmarks, accuracy of the shipped models."""

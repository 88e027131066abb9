"""Names of a folder of flow and expression labels (see `model/gim/datasets.py`)."""

from __future__ import annotations

FLOW_FOLDER, POINT_FILE, TRUTH_FILE = "flow", "points.csv", "expressions.csv"

"""Published metrics for comparison: Tables 1 to 3 of FSENet (arXiv 2603.14750v1), in percent."""

from __future__ import annotations

from typing import NamedTuple

SOURCE = "FSENet, arXiv 2603.14750v1"


class Reference(NamedTuple):
    """A published table: the tIoUs of its columns, its further columns, and its rows (setting, method, values).

    Recall, F2 and mean mAP are means over `metrics.TIOUS`, also in tables with columns for three of them.
    """

    title: str
    tious: tuple[float, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[float, ...]], ...]


TABLE_1 = Reference(
    "Table 1, TSL300",
    (0.1, 0.15, 0.2, 0.25, 0.3),
    ("recall", "F2", "mean mAP"),
    (
        ("full", "VAANet", (28.01, 24.95, 20.68, 16.45, 12.50, 69.82, 39.59, 20.51)),
        ("full", "AFSD", (33.44, 27.09, 21.78, 16.64, 11.76, 75.10, 31.78, 22.14)),
        ("full", "FSENet", (28.02, 25.45, 22.63, 18.93, 14.33, 79.58, 30.37, 21.87)),
        ("video", "CoLA", (11.87, 10.14, 8.11, 6.83, 4.98, 64.07, 21.19, 8.38)),
        ("video", "UM", (14.77, 13.28, 10.77, 8.41, 6.54, 55.33, 23.94, 10.75)),
        ("video", "DDG-Net", (16.13, 12.19, 9.91, 8.47, 6.93, 66.38, 23.82, 10.72)),
        ("video", "ISSF", (13.83, 11.15, 9.30, 6.87, 5.14, 45.65, 25.17, 9.26)),
        ("video", "TSL", (14.10, 11.35, 8.77, 6.36, 4.47, 31.84, 27.40, 9.01)),
        ("video", "FSENet", (19.15, 15.12, 11.91, 9.35, 7.12, 58.11, 30.00, 12.53)),
        ("point", "LACP", (17.25, 14.46, 12.47, 9.59, 7.76, 66.92, 25.01, 12.30)),
        ("point", "SF-Net", (20.26, 18.09, 15.01, 12.38, 9.76, 59.55, 32.61, 15.10)),
        ("point", "HR-Pro stage 1", (19.77, 17.10, 14.71, 11.38, 8.86, 62.23, 22.82, 14.36)),
        ("point", "HR-Pro stage 2", (27.24, 23.13, 19.85, 15.96, 11.83, 73.60, 32.21, 19.60)),
        ("point", "TSL", (28.72, 24.92, 20.46, 16.10, 11.83, 71.14, 35.36, 20.40)),
        ("point", "FSENet", (29.31, 25.47, 22.49, 16.76, 13.24, 75.02, 33.67, 21.45)),
    ),
)
TABLE_2 = Reference(
    "Table 2, CMU-MOSEI",
    (0.1, 0.2, 0.3),
    ("recall", "F2", "mean mAP"),
    (
        ("point", "HR-Pro stage 1", (11.83, 7.26, 4.44, 18.81, 18.46, 7.65)),
        ("point", "HR-Pro stage 2", (16.27, 11.49, 6.76, 26.61, 24.71, 11.47)),
        ("point", "TSL", (15.18, 10.71, 7.46, 27.24, 24.86, 11.00)),
        # As printed. Two figures are those of Table 1, and 16.54 is not the mean (docs/evaluation.md).
        ("point", "FSENet", (22.7, 22.49, 13.24, 33.08, 24.89, 16.54)),
    ),
)
TABLE_3 = Reference(
    "Table 3, TSL300 compared with language models",
    (0.1, 0.2, 0.3),
    ("mean mAP",),
    (
        ("zero-shot", "Qwen3-Omni", (7.67, 5.03, 2.67, 5.07)),
        ("point", "LLaMA-2-7B, LoRA", (10.98, 10.98, 8.45, 9.97)),
        ("point", "LLaMA-2-7B, LoRA and BSPG", (27.76, 11.82, 5.16, 11.75)),
        ("point", "FSENet", (29.31, 22.49, 13.24, 21.45)),
    ),
)
REFERENCES = {"tsl300": TABLE_1, "cmu-mosei": TABLE_2, "tsl300-llm": TABLE_3}
"""The table with which a benchmark's metrics are compared."""


def counted(count: int, noun: str) -> str:
    """`1 video`, `2 videos`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"

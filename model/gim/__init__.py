"""GIM: macro- and micro-expressions spotted in face videos, learned from one labelled frame each.

After "Gaussian-Based Instance-Adaptive Intensity Modeling for Point-Supervised Facial Expression Spotting" (ICLR 2025),
whose equation, table and section numbers this folder uses. The extended version (arXiv 2511.16952) learns its classes
from pseudo-apex frames alone, which is not implemented. Where code and print differ is listed in docs/training.md,
"Equations and deviations", and in docs/other_systems.md.
"""

"""FSENet: network, losses, training, export.

After "Face-Guided Sentiment Boundary Enhancement for Weakly-Supervised Temporal Sentiment Localization" (CVPR 2026,
arXiv 2603.14750), of which this folder uses the equation, table and section numbers (version 1). Where code and print
differ is listed in docs/training.md, "Equations and deviations".
"""

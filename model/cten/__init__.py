"""CTEN: emotions of user videos, recognised and localized from one label per video.

After "Weakly Supervised Video Emotion Detection and Prediction via Cross-Modal Temporal Erasing Network" (CVPR 2023),
whose equation, table and section numbers this folder uses. Where code and print differ is listed in docs/training.md,
"Equations and deviations".
"""

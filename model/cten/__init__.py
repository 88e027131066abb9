"""CTEN (CVPR 2023): emotions of user videos, recognised and localized from one label per video."""

"""FSENet (CVPR 2026): network, losses, training, export."""

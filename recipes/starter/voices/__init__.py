"""The shipped voice encoder: data, augmentation, training."""

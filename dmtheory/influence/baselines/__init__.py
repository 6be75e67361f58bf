"""Attributions from gradients alone, and along a training."""

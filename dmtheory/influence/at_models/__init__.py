"""Trained models, their gradients and curvature, in chunks."""

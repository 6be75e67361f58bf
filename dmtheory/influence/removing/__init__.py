"""Removals without retraining."""

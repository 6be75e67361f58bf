"""Penalised linear models, many at once: batched Newton in float64."""

"""Derivatives averaged over random subsets and an example's own weight."""

"""Decide by experiment what holds: claims, suites and the runner."""

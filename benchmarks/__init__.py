"""Benchmarks: each prints one JSON with ratios against a named peer."""

"""Exact quantities and closed forms to hold estimates against."""

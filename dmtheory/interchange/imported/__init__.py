"""Imported models: rows, laws of their masks, tags, units."""

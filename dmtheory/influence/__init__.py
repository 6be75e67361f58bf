"""Classical influence functions."""

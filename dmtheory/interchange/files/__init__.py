"""Files from elsewhere, read by the range and never trusted."""

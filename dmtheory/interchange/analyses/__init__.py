"""What masks and outputs alone tell."""

"""Numbers with intervals that claims judge."""

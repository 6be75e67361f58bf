"""Why influence is not retraining: the terms of the gap."""

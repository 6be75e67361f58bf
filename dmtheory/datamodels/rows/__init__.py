"""What an estimator regresses, and its sufficient statistics."""

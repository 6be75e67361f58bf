"""What a problem owes to the estimators of this package."""

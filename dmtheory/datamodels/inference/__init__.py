"""What can be said of coefficients: discoveries, de-biasing, budgets."""

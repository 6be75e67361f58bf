"""Rules from rows to coefficients, with their sampling law."""

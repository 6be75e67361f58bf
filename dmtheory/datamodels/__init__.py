"""From masks and outputs to coefficients."""

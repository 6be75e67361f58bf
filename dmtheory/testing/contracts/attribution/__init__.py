"""What an attribution to trained models owes: influence and its kin."""

"""What an estimate of response derivatives owes."""

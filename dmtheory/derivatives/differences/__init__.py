"""dF/dw by retraining: quotients, ladders of steps, random directions."""

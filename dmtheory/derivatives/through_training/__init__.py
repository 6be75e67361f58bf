"""dF/dw by differentiating through training."""

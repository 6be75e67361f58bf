"""The response derivative dF/dw."""

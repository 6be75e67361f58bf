"""The datamodels release."""

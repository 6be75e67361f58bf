"""What an estimator of datamodels owes."""

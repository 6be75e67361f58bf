"""The LASSO: its path, the descent down it, and the certificate."""

"""From evidence to a verdict, and to proof that it could have failed."""

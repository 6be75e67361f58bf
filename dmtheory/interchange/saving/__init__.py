"""What is written for other libraries, and what is lost by it."""

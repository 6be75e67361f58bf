"""What a curvature operator owes."""

"""What people know of a picture's colours, as networks and painting take it."""

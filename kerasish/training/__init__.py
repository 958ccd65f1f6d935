"""What `compile` decides, and the loops that follow it."""

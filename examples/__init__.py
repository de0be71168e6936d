"""Programs that show the broker at work."""

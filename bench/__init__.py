"""Measure the broker side by side with what people would use instead of it."""

"""Curves over time as OpenDSS has them, what a run leaves behind, and a day of a feeder run by OpenDSS alone."""

__all__ = ["alone", "engines", "memory", "shapes"]

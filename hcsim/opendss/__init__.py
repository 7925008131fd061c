"""The only door to OpenDSS: compile safely, solve, read vectors, save and restore states."""

__all__ = ["circuit", "elements", "guard", "safe", "series"]

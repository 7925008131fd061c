"""A `Schedule` as files and tables, and its algebra: scaled, blended, repeated."""

__all__ = ["dispatch", "edit", "files", "repeat"]

"""A `Schedule` as files and tables, and its algebra: scaled, blended, repeated."""

__all__ = ["edit", "files", "repeat"]

"""The commands; console, progress, options."""

__all__ = ["app"]

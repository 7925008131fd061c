"""Whole files or none, "did you mean", one progress event."""

__all__ = ["files", "progress", "suggest"]

"""Whole files or none, one run per folder, "did you mean", one progress event."""

__all__ = ["files", "locks", "log", "progress", "sandbox", "scratch", "suggest"]

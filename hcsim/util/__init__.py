"""Whole files or none, one run per folder, "did you mean", rooms that can be called, one progress event."""

__all__ = ["files", "locks", "log", "progress", "rooms", "sandbox", "scratch", "suggest"]

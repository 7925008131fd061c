"""Whole files or none, one run per folder, "did you mean", CSV as spreadsheets have it, one progress event."""

__all__ = ["csv_text", "files", "locks", "log", "progress", "rooms", "sandbox", "scratch", "stopping", "suggest"]

"""Whole files or none, one run per folder, "did you mean", CSV as spreadsheets have it, one progress event."""

__all__ = [
    "arithmetic",
    "csv_text",
    "files",
    "html_text",
    "last_words",
    "locks",
    "log",
    "own_process",
    "progress",
    "rooms",
    "sandbox",
    "scratch",
    "stopping",
    "suggest",
]

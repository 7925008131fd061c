"""The check: everything that touches OpenDSS, files and people (see CONTRIBUTING.md)."""

__version__ = "0.1.0"

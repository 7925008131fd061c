"""Pages, tables and pictures of results. No physics."""

__all__ = ["allocation", "operate", "planning", "simulation", "validation"]

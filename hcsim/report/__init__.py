"""Pages, tables and pictures of results. No physics."""

__all__ = ["allocation", "planning", "simulation", "validation"]

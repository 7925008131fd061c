"""Pages, tables and pictures of results. No physics."""

__all__ = ["allocation", "common", "feeder", "layers", "map", "operate", "planning", "simulation", "validation"]

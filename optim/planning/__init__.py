"""The siting and sizing program of paper 2."""

__all__ = ["case", "result", "schemes", "search"]

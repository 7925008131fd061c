"""What a results folder says, as layers of a map: tables with points and lines, for a geographic information system."""

__all__ = ["tables", "write"]

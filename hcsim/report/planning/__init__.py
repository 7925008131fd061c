"""The page of a planning study (paper 2)."""

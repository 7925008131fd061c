"""The page of an allocation study (paper 1)."""

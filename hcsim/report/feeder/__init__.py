"""The page of a feeder by itself: how it was read, what its own day breaks."""

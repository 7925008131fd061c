"""Pure tasks in a pool or on Dask, one file per finished task."""

__all__ = ["campaign"]

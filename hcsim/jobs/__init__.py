"""Pure tasks in a pool or on Dask, and parts of a study side by side; one file per finished one."""

__all__ = ["campaign", "kept_steps", "part_files", "parts", "side_by_side", "workers"]

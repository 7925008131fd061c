"""The parts that studies are made of, each a pure task for `hcsim.jobs.side_by_side`."""

__all__ = ["allocation", "collected", "graph", "inverters", "kinds", "loops", "planning"]

"""Network to LinearModel: LinDist3Flow (paper 1) and the tangent at operating points."""

__all__ = ["lindist3flow", "lindist3flow_matrices", "response", "tangent"]

"""The three-phase branch-flow relaxation: a semidefinite program that no schedule's capacity exceeds."""

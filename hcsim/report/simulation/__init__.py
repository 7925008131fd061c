"""The pages of nodal, stochastic and year studies."""

"""[pv] of study.toml: where PV may stand."""

from __future__ import annotations

from hcsim.cases.config.types import Section, SomeNames, key


class PvSection(Section):
    """Where PV may stand, and what its inverters may do."""

    buses: SomeNames = key('Candidate buses; all their phases, or some: "83.1.3".')
    night_var: bool = key("Inverters may give and take reactive power without sun too (paper 1, eq. 7c).", True)

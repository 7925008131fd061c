"""What the words of the page mean."""

from __future__ import annotations

DEFINITIONS = (
    ("Claim", "The kW of PV inverters that the optimization program finds on its linear model."),
    (
        "Bound of the linear program, gap",
        "No solution of the program can exceed the bound; gap = |bound − claim| / claim. It bounds the program, not "
        "the feeder: what OpenDSS certifies may be more.",
    ),
    (
        "Certified, best found",
        "Certified: OpenDSS finds no new violation, the closed loop ended by itself, and the devices act. Best found: "
        "the same check passed, but the loop was cut, or the batteries do nothing.",
    ),
    (
        "Three verdicts",
        "Against the bare feeder's own day nothing is forgiven that is worse there; against the range, what its "
        "controls may show by resting elsewhere in their bands; absolute counts are by ANSI C84.1 service voltages.",
    ),
    (
        "Holds",
        "OpenDSS, run over every step with the schedule's devices, finds no violation that the bare "
        "feeder does not have too.",
    ),
    ("Refuted", "OpenDSS finds at least one new violation, or one that has become worse."),
    (
        "Taps locked, free",
        "Locked: regulators stay where the program assumed them. Free: every control acts, as in the field.",
    ),
    ("Simulation", "Iterative simulation with OpenDSS alone: PV is scaled up until the first violation."),
    ("Voltage error", "Claimed minus simulated voltage, over all nodes and steps."),
    ("PV penetration, capacity", "Installed PV inverters in kW over the feeder's peak load in kW."),
    ("PV penetration, energy", "PV energy over load energy, both over the studied steps, in kWh."),
    (
        "Circulated energy",
        "In each step the smaller of what all batteries charge and what all discharge: "
        "energy moved between batteries, of which the losses are burnt.",
    ),
)

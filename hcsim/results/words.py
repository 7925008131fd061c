"""The words for programs, controls and inverters: one set, for terminal, page, pictures and summary alike.

The keys are those of options, study.toml and summary.json; a test holds them against the enumerations there.
"""

from __future__ import annotations

PROGRAMS = {
    "none": "No BESS",
    "centralized": "Centralized BESS",
    "distributed": "Distributed BESS",
    "distributed_no_circulation": "Distributed BESS, no circulation",
}
CONTROLS = {"locked": "taps locked", "free": "taps free"}
INVERTERS = {"volt_var": "volt-var", "volt_watt": "volt-watt", "volt_var_volt_watt": "volt-var and volt-watt"}
REACTIVE = {"unity": "unity power factor", "schedule": "optimizer's reactive power"} | INVERTERS
"""Who decides on reactive power: nobody, the optimizer, or each inverter by itself."""

"""Somebody's controller: keeps the feeder's head from exporting, without knowing anything of hcsim.

    hcsim federate ieee123 SCHEDULE          in one terminal
    python controller.py                     in another (pip install helics)

On every message it takes back PV, each site in proportion, until the least loaded phase of the head draws 5 kW.
"""

import json
import sys

import helics as h

MARGIN_KW = 5.0


def commands(sight):
    """What the sites on a phase shall deliver; nothing where that phase draws enough."""
    if sight["measured_step"] != sight["step"]:
        return [{"obj_name": n, "obj_property": "p_kw", "val": v} for n, v in zip(*able(sight), strict=True)]
    asked, delivered = [], dict(zip(sight["powers_real"]["ids"], sight["powers_real"]["values"], strict=True))
    for phase, head_kw in enumerate(sight["head_powers_real"]["values"], start=1):
        mine = {n: p for n, p in delivered.items() if n.startswith("pv.") and n.endswith(f".{phase}") and p > 0}
        missing = MARGIN_KW - head_kw
        if mine and missing > 0.5:
            keep = max(1.0 - missing / sum(mine.values()), 0.0)
            asked += [{"obj_name": n, "obj_property": "p_kw", "val": keep * p} for n, p in mine.items()]
    return asked


def able(sight):
    """Every site and what the sun gives it."""
    return sight["available_powers_real"]["ids"], sight["available_powers_real"]["values"]


def main(broker="tcp://127.0.0.1:23404"):
    info = h.helicsCreateFederateInfo()
    h.helicsFederateInfoSetCoreTypeFromString(info, "zmq")
    h.helicsFederateInfoSetCoreInitString(info, f"--broker={broker} --federates=1 --loglevel=no_print")
    me = h.helicsCreateValueFederate("controller", info)
    out = h.helicsFederateRegisterGlobalPublication(me, "controller/commands", h.HELICS_DATA_TYPE_STRING, "")
    seen = h.helicsFederateRegisterSubscription(me, "feeder/sight", "")
    h.helicsFederateEnterExecutingMode(me)
    while h.helicsFederateRequestTime(me, h.HELICS_TIME_MAXTIME) < h.HELICS_TIME_MAXTIME:
        h.helicsPublicationPublishString(out, json.dumps(commands(json.loads(h.helicsInputGetString(seen)))))
    h.helicsFederateDisconnect(me)


if __name__ == "__main__":
    main(*sys.argv[1:])

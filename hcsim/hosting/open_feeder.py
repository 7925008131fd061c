"""A feeder made ready for studies by simulation, and what identifies them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hcsim.cases.against_feeder import check_bands
from hcsim.cases.case import Case
from hcsim.cases.control_choice import selected
from hcsim.devices.held_controls import hold
from hcsim.errors import FeederError
from hcsim.feeder.model import FeederModel
from hcsim.feeder.read import read_network
from hcsim.hosting.hour_reading import lines_are_rated
from hcsim.opendss.circuit import Circuit
from hcsim.replay.options import ReplayOptions
from hcsim.replay.recording import Controls
from hcsim.replay.result import ReplayResult
from hcsim.replay.run import replay
from optim.data.limits import Limits
from optim.data.network import Network
from optim.data.node import bus_of
from optim.data.profiles import Profiles
from optim.data.schedule import Schedule

NO_RATINGS = (
    "Every line has OpenDSS's default rating of 400 A, so none is stated: loading is judged at transformers only."
)


@dataclass(frozen=True)
class OpenFeeder:
    """A case's feeder read in this process, for its sites and its hash."""

    case: Case
    feeder: FeederFiles
    network: Network
    notes: tuple[str, ...] = field(default=())


def open_feeder(case: Case) -> OpenFeeder:
    """Raises FeederError, ConvergenceError."""
    circuit = Circuit.compile(case.master, edits=case.config.feeder.edits)
    circuit.solve(controls=False)
    network, ledger = read_network(circuit, case.config.feeder.zone)
    case = case.timed(circuit, network).completed(network, ledger)
    check_bands(case.config, network, case.study_file)
    selection = selected(circuit, case)
    notes = list(case.time_notes)
    notes += [] if lines_are_rated(network) else [NO_RATINGS]
    notes += ungrounded(network)
    notes += [selection.words] if selection.held else []
    section = case.config.feeder
    files = FeederFiles(case.master.resolve(), circuit.source_sha256, selection.held, section.zone, section.edits)
    return OpenFeeder(case, files, network, tuple(notes))


MOST_BARE_STEPS = 576
"""Of a page, beyond which the bare feeder's own run is left to `hcsim baseline --year`."""


def bare_run(opened: OpenFeeder, profiles: Profiles, limits: Limits, controls: Controls) -> ReplayResult | None:
    """The feeder without devices over the study's time, for what it breaks by itself; None where that is too long."""
    if len(profiles) > MOST_BARE_STEPS:
        return None
    circuit, network = opened.feeder.open()
    return replay(FeederModel(circuit, network, profiles, limits), None, ReplayOptions(controls))


def ungrounded(network: Network) -> list[str]:
    """What is said of buses judged between phases: behind a delta winding, on three wires, on the legs of a service."""
    buses = dict.fromkeys(bus_of(network.nodes[n]) for n in np.flatnonzero(network.between_phases))
    if not buses:
        return []
    some = ", ".join(list(buses)[:5]) + (" ..." if len(buses) > 5 else "")
    return [
        f"{len(buses)} of {len(network.buses)} buses ({some}) have no ground, or loads between phases alone: their "
        "sites stand between phases and their voltages are judged line to line (phase 1 means 1 to 2, 2 means 2 to 3, "
        "3 means 3 to 1)."
    ]


def identity_of(
    kind: str, feeder: FeederFiles, profiles: Profiles, limits: Limits, bess: Schedule | None, **settings: object
) -> dict[str, Any]:
    """What every study's results depend on, in plain types; `settings` are the study's own."""
    schedule = None
    if bess is not None:
        schedule = {"nodes": bess.bess_nodes, "p_kw": bess.bess_p_kw, "step_h": bess.step_h}
    return {
        "study": kind,
        "feeder": feeder.source_sha256,
        "profiles": {
            "times": profiles.times,
            "step_h": profiles.step_h,
            "load_pu": profiles.load_pu,
            "pv_pu": profiles.pv_pu,
            "fixed": profiles.fixed,
            "load_q_pu": profiles.load_q_pu,
            "pv_of": dict(profiles.pv_of),
            "start_h": profiles.start_h,
            "of_year": profiles.of_year,
        },
        "limits": limits,
        "held": feeder.held,
        "bess": schedule,
        **({"zone": feeder.zone} if feeder.zone else {}),
        **settings,
    }


@dataclass(frozen=True)
class FeederFiles:
    """What a worker compiles. The hash makes sure that it is the same feeder everywhere."""

    master: Path
    source_sha256: str
    held: tuple[str, ...] = ()
    """Controls that do not act where controls are free."""
    zone: str = ""
    """The EnergyMeter whose zone is studied."""
    edits: tuple[str, ...] = ()
    """[feeder] edits."""

    def open(self) -> tuple[Circuit, Network]:
        """Compiled and read with the taps of its files. Raises FeederError where the files differ."""
        circuit = Circuit.compile(self.master, edits=self.edits)
        if circuit.source_sha256 != self.source_sha256:
            raise FeederError(
                f"{self.master} is not the feeder that this study began with.",
                "Keep its files as they are while a study runs, and the same on every machine.",
            )
        circuit.solve(controls=False)
        network = read_network(circuit, self.zone)[0]
        hold(circuit, self.held)
        return circuit, network

"""A controller in another process against the same rule in this one, and controllers that die, mumble or never come."""

import importlib.util
import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hcsim.errors import ConfigError, HcsimError
from hcsim.operate.days import OperatedDays
from hcsim.operate.federate import Exchange, Federated, FederateOptions
from hcsim.operate.operation import Day, OperatedFeeder
from hcsim.operate.settings import OperateSettings
from hcsim.studies.federate import federate
from hcsim.workbench.allocation import Workbench
from optim.hosting.search import solve_hosting

pytest.importorskip("helics", reason="extra cosim")
pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).parents[3]
CASE = ROOT / "tests" / "cases" / "three_bus"
CONTROLLER = ROOT / "examples" / "federate" / "controller.py"


@pytest.fixture(scope="module")
def bench():
    return Workbench.open(CASE)


@pytest.fixture(scope="module")
def plan(bench):
    """Twice the claim, so that the controller has something to take back."""
    from hcsim.schedules.edit import resized

    claim = solve_hosting(bench.problem("centralized"), "centralized", bench.solve_options())
    return resized(claim, 2 * claim.hc_kw)


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def controller_module():
    spec = importlib.util.spec_from_file_location("controller", CONTROLLER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def started(port, more=""):
    """The example's controller in a process of its own; `more` is Python that changes it."""
    code = (
        f"import runpy, os, sys\nsys.argv = ['controller']\nspace = runpy.run_path({str(CONTROLLER)!r})\n"
        f"main, own = space['main'], space['main'].__globals__\n{more}\nmain('tcp://127.0.0.1:{port}')\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class InProcess:
    """The controller's rule behind the same messages, without a wire."""

    def __init__(self):
        self.options, self.rule = FederateOptions(), controller_module().commands

    def ask(self, sight):
        return json.loads(json.dumps(self.rule(json.loads(json.dumps(sight)))))

    def publish(self, name, content):
        json.dumps(content, allow_nan=False)


def day(bench):
    return Day(np.ones(len(bench.profiles)), np.ones(len(bench.profiles)), "planned")


def test_a_federated_day_is_the_day_of_the_same_rule_in_this_process(bench, plan, port):
    settings = OperateSettings()
    work = OperatedDays(bench, plan, settings)
    with OperatedFeeder(bench, work.plan, settings) as feeder:
        inside = feeder.run(day(bench), Federated(work.plan, InProcess()), "inside")
    process = started(port)
    try:
        with Exchange(FederateOptions(port=port)) as exchange, OperatedFeeder(bench, work.plan, settings) as feeder:
            outside = feeder.run(day(bench), Federated(work.plan, exchange), "outside")
        assert process.wait(30) == 0
    finally:
        process.kill()
    assert exchange.late == []
    for name in ("pv_p_kw", "bess_p_kw", "soc_kwh", "available_kw"):
        assert getattr(inside, name).tobytes() == getattr(outside, name).tobytes(), name
    assert inside.operation.v_pu.tobytes() == outside.operation.v_pu.tobytes()
    assert inside.curtailed_kwh(1.0).sum() > 1.0  # the rule did act


def test_a_controller_that_dies_costs_no_day(bench, plan, port):
    """From the step at which it dies the last commands act, and every step is named."""
    dies = (
        "rule = own['commands']\ndef commands(sight):\n    if sight['step'] == 12: os._exit(1)\n"
        "    return rule(sight)\nown['commands'] = commands"
    )
    process = started(port, dies)
    found = federate(bench, plan, FederateOptions(port=port, answer_s=1.0))
    process.wait(30)
    assert set(found.late) == set(bench.profiles.times[12:])
    assert len(found.operated.policies["federate"].broken) == 1
    assert "late_steps" in found.to_json()


def test_a_controller_that_leaves_in_order_costs_no_day(bench, plan, port):
    """It says goodbye in the middle of the day, so that there is nobody left to wait for."""
    goes = (
        "import helics as h\nseen, real = [], h.helicsFederateRequestTime\n"
        "def request(me, until):\n    seen.append(1)\n"
        "    return h.HELICS_TIME_MAXTIME if len(seen) > 20 else real(me, until)\n"
        "h.helicsFederateRequestTime = request"
    )
    process = started(port, goes)
    found = federate(bench, plan, FederateOptions(port=port, answer_s=5.0))
    assert process.wait(30) == 0
    assert found.late and found.late[0] != bench.profiles.times[0]
    assert found.late[-1] == bench.profiles.times[-1]
    assert len(found.operated.policies["federate"].broken) == 1


def test_what_acts_instead_is_as_told(bench, plan, port):
    """An answer that never comes at all: the schedule, exactly."""
    from hcsim.operate.scheduled import Scheduled

    process = started(port, "import time\nown['commands'] = lambda sight: time.sleep(3600)")
    settings = OperateSettings()
    work = OperatedDays(bench, plan, settings)
    try:
        with (
            Exchange(FederateOptions(port=port, answer_s=0.2, late="schedule")) as exchange,
            OperatedFeeder(bench, work.plan, settings) as feeder,
        ):
            found = feeder.run(day(bench), Federated(work.plan, exchange), "silent")
            alone = feeder.run(day(bench), Scheduled(work.plan), "schedule")
    finally:
        process.kill()
        process.wait()
    np.testing.assert_array_equal(found.pv_p_kw, alone.pv_p_kw)
    assert exchange.late


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("[{'obj_name': 'pv.nowhere.1', 'obj_property': 'p_kw', 'val': 1}]", "there is no pv.nowhere.1"),
        ("[{'obj_name': sight['available_powers_real']['ids'][0], 'obj_property': 'p_kw'}]", "no number as val"),
        ("7", "no list of commands"),
        (
            "[{'obj_name': sight['available_powers_real']['ids'][0], 'obj_property': 'p_kw', 'val': 1e6}]",
            "the sun gives",
        ),
    ],
)
def test_commands_that_mean_nothing_are_named(bench, plan, port, answer, words):
    process = started(port, f"own['commands'] = lambda sight: {answer}")
    try:
        with pytest.raises(HcsimError, match=words):
            federate(bench, plan, FederateOptions(port=port))
    finally:
        process.kill()
        process.wait()


def test_nobody_comes(bench, plan, port):
    with pytest.raises(ConfigError, match="No controller has joined"):
        federate(bench, plan, FederateOptions(port=port, arrival_s=1.0))


def test_no_broker_answers(bench, plan, port):
    with pytest.raises(HcsimError, match="No HELICS broker answers"):
        federate(bench, plan, FederateOptions(broker=f"tcp://127.0.0.1:{port}"))


def test_an_address_that_is_none(bench, plan):
    with pytest.raises(ConfigError, match="no address"):
        federate(bench, plan, FederateOptions(broker="somewhere"))

"""Programs, controls and inverters have one set of words, for every value that options and files may have."""

from typing import get_args

from hcsim.cli.common import options
from hcsim.devices.inverter_curves import InverterMode
from hcsim.replay.recording import Controls
from hcsim.results.words import CONTROLS, INVERTERS, PROGRAMS
from optim.hosting.problem import CASES


def test_every_value_has_its_words():
    assert tuple(PROGRAMS) == CASES == tuple(p.value for p in options.Program)
    assert set(CONTROLS) == set(get_args(Controls)) == {c.value for c in options.Controls} - {"both"}
    assert tuple(INVERTERS) == get_args(InverterMode) == tuple(i.value for i in options.Inverters)[1:]

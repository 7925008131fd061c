"""One arithmetic for all processors: what is asked for, and that it is asked before numpy is there."""

import os
import subprocess
import sys

import pytest

from hcsim.util.arithmetic import arithmetic_for, processor_flags

WIDE = frozenset({"avx2", "avx512f"})


@pytest.mark.parametrize("version", ["1.26.4", "2.0.0", "2.3.5", "2.4.6", "3.0.0"])
def test_wide_registers_are_left_alone(version):
    asked = arithmetic_for(WIDE, version)
    assert asked["OPENBLAS_CORETYPE"] == "Haswell"
    assert ("X86_V4" in asked["NPY_DISABLE_CPU_FEATURES"].split()) == (version >= "2.4")


def test_where_there_are_none_nothing_is_asked():
    assert arithmetic_for(frozenset({"avx2", "fma"})) == {}


def test_flags_are_read(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nflags\t\t: fpu avx2 avx512f\n\nprocessor : 1\nflags : fpu\n")
    assert {"avx2", "avx512f"} <= processor_flags(file)
    assert processor_flags(tmp_path / "none") == frozenset()


def test_numpy_takes_the_names_and_computes_without(tmp_path):
    """In a process of its own: every group named is one that this numpy knows, and none is used."""
    code = (
        "import warnings\nwarnings.simplefilter('error', RuntimeWarning)\n"
        "import numpy\nfrom numpy._core._multiarray_umath import __cpu_features__ as on, __cpu_dispatch__ as known\n"
        "import os\nnamed = os.environ['NPY_DISABLE_CPU_FEATURES'].split()\n"
        "wide = [n for n in known if '512' in n or n == 'X86_V4']\n"
        "assert set(wide) <= set(named), (wide, named)\nassert not any(on.get(n) for n in named)\n"
    )
    environment = {**os.environ, **arithmetic_for(WIDE)}
    subprocess.run([sys.executable, "-W", "ignore::ImportWarning", "-c", code], check=True, env=environment)


def test_it_is_asked_before_numpy_is_loaded():
    code = "import sys, hcsim\nassert 'numpy' not in sys.modules\n"
    subprocess.run([sys.executable, "-c", code], check=True)

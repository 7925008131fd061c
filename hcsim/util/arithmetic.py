"""The same last digits on every x86 processor of the last ten years: none computes with registers that others lack.

To be asked before numpy is loaded, which reads the environment then; so nothing here may load it.
"""

from __future__ import annotations

from pathlib import Path

WIDE = "avx512f"
"""What a processor says that has registers of 512 bits."""
RENAMED = (2, 4)
"""From this numpy on the same groups of instructions have other names."""
GROUPS_BEFORE = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
GROUPS = "X86_V4 AVX512_ICL AVX512_SPR"


def arithmetic_for(flags: frozenset[str], numpy: str = "") -> dict[str, str]:
    """Environment variables under which numpy and OpenBLAS do without 512 bits; empty where there are none.

    `flags` are the processor's, `numpy` the version that will read them (default: the one installed).
    """
    if WIDE not in flags:
        return {}
    from importlib import metadata

    version = tuple(int(part) for part in (numpy or metadata.version("numpy")).split(".")[:2])
    return {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": GROUPS if version >= RENAMED else GROUPS_BEFORE}


def processor_flags(file: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the first processor of this machine can do; empty where the system does not say it in this file."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return next((frozenset(line.split()) for line in lines if line.startswith("flags")), frozenset())

"""Random feeders, radial and meshed, with random connections: our network and power flow against OpenDSS, and the
tangent's derivatives against finite differences of OpenDSS."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hcsim.errors import ConvergenceError
from hcsim.feeder.gate import check_gate
from hcsim.feeder.read import read_network
from hcsim.opendss.circuit import Circuit

OUTWARD = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CONNECTIONS = ("wye", "delta")


class Feeder:
    """Writes a feeder, bus by bus. Every bus knows its phases and its line-to-line kV."""

    def __init__(self, chance) -> None:
        self.chance = chance
        self.lines = [
            "clear",
            f"new circuit.r basekv=12.47 pu={chance.uniform(0.98, 1.05):.3f} bus1=b0 "
            f"mvasc3={chance.choice((200, 2000, 20000))}",
        ]
        self.buses = [("b0", (1, 2, 3), 12.47)]

    def grow(self) -> None:
        bus, phases, kv = self.chance.choice(self.buses)
        new = f"b{len(self.buses)}"
        kind = self.chance.choice(("line", "line", "line", "transformer", "regulator", "service"))
        if kind == "line":
            kept = tuple(sorted(self.chance.sample(phases, self.chance.randint(1, len(phases)))))
            self._line(f"l{new}", bus, new, kept)
            self.buses.append((new, kept, kv))
        elif kind == "transformer" and phases == (1, 2, 3):
            a, b = self.chance.choice(CONNECTIONS), self.chance.choice(CONNECTIONS)
            low = self.chance.choice([x for x in (4.16, 0.48) if x < kv] or [kv])
            self.lines.append(
                f"new transformer.t{new} buses=[{bus} {new}] conns=[{a} {b}] kvs=[{kv} {low}] kvas=[2000 2000] "
                f"xhl={self.chance.uniform(2, 7):.2f} %r={self.chance.uniform(0.3, 1):.2f} "
                f"taps=[1 {self.chance.choice((0.975, 1, 1.025))}]"
            )
            self.buses.append((new, (1, 2, 3), low))
        elif kind == "regulator" and phases == (1, 2, 3):
            for p in phases:
                self.lines.append(
                    f"new transformer.r{new}{p} phases=1 buses=[{bus}.{p} {new}.{p}] kvs=[{kv / 3**0.5:.5f} "
                    f"{kv / 3**0.5:.5f}] kvas=[2000 2000] xhl=0.1 %loadloss=0.01"
                )
                self.lines.append(f"transformer.r{new}{p}.taps=[1 {1 + self.chance.randint(-16, 16) * 0.00625}]")
            self.buses.append((new, phases, kv))
        elif kind == "service" and kv > 1:
            self._service(bus, self.chance.choice(phases), kv, f"s{len(self.lines)}")

    def mesh(self) -> None:
        """One more line between two buses of the same voltage: a ring, or a line beside a line."""
        a, phases, kv = self.chance.choice(self.buses)
        others = [b for b in self.buses if b[0] != a and b[2] == kv and set(b[1]) & set(phases)]
        if others:
            b, there, _ = self.chance.choice(others)
            self._line(f"m{len(self.lines)}", a, b, tuple(sorted(set(phases) & set(there))))

    def load(self) -> None:
        bus, phases, kv = self.chance.choice(self.buses)
        k = self.chance.randint(1, len(phases))
        chosen = self.chance.sample(phases, k)
        conn = self.chance.choice(CONNECTIONS)
        if k == 1:
            conn, rated = "wye", kv / 3**0.5
        else:
            rated = kv
        if conn == "delta" and k == 2:  # between two phases
            count, rated = 1, kv
        else:
            count = k
        nodes = ".".join(str(p) for p in chosen)
        self.lines.append(
            f"new load.d{len(self.lines)} bus1={bus}.{nodes} phases={count} conn={conn} kv={rated:.5f} "
            f"kw={self.chance.uniform(1, 120):.2f} pf={self.chance.uniform(0.8, 1):.3f} "
            f"model={self.chance.choice((1, 2, 3, 4, 5, 8))} zipv=[0.2 0.3 0.5 0.4 0.3 0.3 0] "
            f"cvrwatts={self.chance.choice((0.8, 1, 2))} cvrvars={self.chance.choice((1, 2, 3))} "
            f"vminpu={self.chance.choice((0.5, 0.9, 0.95))}"
        )

    def capacitor(self) -> None:
        bus, phases, kv = self.chance.choice(self.buses)
        if phases == (1, 2, 3):
            self.lines.append(
                f"new capacitor.c{len(self.lines)} bus1={bus} kv={kv} kvar={self.chance.randint(5, 150)} "
                f"conn={self.chance.choice(CONNECTIONS)}"
            )
        else:
            self.lines.append(
                f"new capacitor.c{len(self.lines)} bus1={bus}.{phases[0]} phases=1 "
                f"kv={kv / 3**0.5:.5f} kvar={self.chance.randint(5, 50)}"
            )

    def text(self) -> str:
        return "\n".join([*self.lines, "set voltagebases=[12.47 4.16 0.48 0.208]", "calcvoltagebases", ""])

    def _line(self, name, a, b, phases) -> None:
        nodes = ".".join(str(p) for p in phases)
        k = len(phases)
        own = self.chance.uniform(0.02, 0.3)
        r = "|".join(" ".join(f"{own if i == j else own / 4:.4f}" for j in range(i + 1)) for i in range(k))
        x = "|".join(" ".join(f"{2 * own if i == j else own / 2:.4f}" for j in range(i + 1)) for i in range(k))
        c = "|".join(" ".join(f"{9 if i == j else -2}" for j in range(i + 1)) for i in range(k))
        turned = self.chance.random() < 0.3
        ends = (f"{b}.{nodes}", f"{a}.{nodes}") if turned else (f"{a}.{nodes}", f"{b}.{nodes}")
        self.lines.append(
            f"new line.{name} phases={k} bus1={ends[0]} bus2={ends[1]} rmatrix=[{r}] xmatrix=[{x}] "
            f"cmatrix=[{c}] length={self.chance.uniform(0.1, 2):.3f}"
        )

    def _service(self, bus, phase, kv, new) -> None:
        self.lines.append(
            f"new transformer.t{new} phases=1 windings=3 buses=[{bus}.{phase} {new}.1.0 {new}.0.2] "
            f"kvs=[{kv / 3**0.5:.5f} .12 .12] kvas=[50 50 50] xhl=2 xht=2 xlt=1.4 %rs=[0.6 1.2 1.2]"
        )
        self.lines.append(f"new load.{new}a bus1={new}.1 phases=1 kv=0.12 kw={self.chance.uniform(0.1, 9):.2f}")
        self.lines.append(f"new load.{new}b bus1={new}.1.2 phases=1 kv=0.24 kw={self.chance.uniform(0.1, 20):.2f}")


def random_feeder(chance, meshes: int) -> str:
    feeder = Feeder(chance)
    for _ in range(chance.randint(2, 9)):
        feeder.grow()
    for _ in range(meshes):
        feeder.mesh()
    for _ in range(chance.randint(1, 8)):
        feeder.load()
    for _ in range(chance.randint(0, 2)):
        feeder.capacitor()
    return feeder.text()


@OUTWARD
@given(chance=st.randoms(use_true_random=False), meshes=st.integers(0, 2))
def test_random_feeders_pass_the_gate(chance, meshes):
    text = random_feeder(chance, meshes)
    with tempfile.TemporaryDirectory() as folder:
        master = Path(folder) / "m.dss"
        master.write_text(text)
        try:
            circuit = Circuit.compile(master)
        except ConvergenceError:
            assume(False)  # more load than the random lines carry
        network, ledger = read_network(circuit)
        gate = check_gate(circuit, network, ledger)
        assert gate.passed, f"{gate.reason}\n{text}"
        assert not ledger.refused
        assert len(ledger) == len(circuit.element_names())

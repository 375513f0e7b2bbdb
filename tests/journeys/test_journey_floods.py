"""A thousand sign-in attempts a second at a real gate, from one address and from many: an honest person gets in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_journey_no_kernel import PASSWORD, Bench

from penstock.cli.login import key_and_request

SECONDS, PER_S = 4, 1000
FLOOD = Path(__file__).with_name("flood.py")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("floods"))
    try:
        made.gate.start()
        for name in ("maria", "one", "two", "three", "four", "five"):
            made.gate.enrol(name, "operators", PASSWORD, made.machine)
        yield made
    finally:
        made.close()


def kilobytes(pid: int, what: str) -> int:
    found = re.search(rf"^{what}:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def sign_in(bench: Bench, name: str) -> float:
    """Sign in from where the account is at home; answers how long the gate took, in seconds."""
    person = bench.gate.people[name]
    _, csr_pem = key_and_request()
    body = {"subject": name, "password": PASSWORD, "totp": person.code(), "csr_pem": csr_pem}
    began = time.monotonic()
    answer = bench.gate.api(bench.machine, "POST", "/api/sign-ins", body)
    assert answer.get("token"), answer
    return time.monotonic() - began


@pytest.mark.parametrize(("addresses", "people"), [(1, ("one", "two")), (200, ("three", "four"))])
def test_a_flood_of_attempts_keeps_nobody_out_and_fills_nothing(
    bench: Bench, tmp_path: Path, addresses: int, people: tuple[str, str]
) -> None:
    gate = bench.gate
    control = gate.pid("control")
    assert control is not None
    csr = tmp_path / "request.pem"
    csr.write_text(key_and_request()[1])
    before, memory_kb = gate.status()["evidence"]["records"], kilobytes(control, "VmRSS")
    ca = gate.state_dir / "keys" / "ca.pem"
    words = [str(gate.portal_port), str(ca), str(csr), str(SECONDS), str(PER_S), str(addresses)]
    flooding = subprocess.Popen([sys.executable, str(FLOOD), *words], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(1)
        honest = [sign_in(bench, name) for name in people]
        assert flooding.poll() is None, "the flood goes on while the honest sign in"
        printed, _ = flooding.communicate(timeout=60)
    finally:
        flooding.kill()
    counts: dict[str, Any] = json.loads(printed)
    peak_kb = kilobytes(control, "VmHWM")
    answered = sum(count for word, count in counts.items() if word.isdigit())
    rows = gate.status()["evidence"]["records"] - before
    figures = f"{counts}, honest {[f'{each:.2f} s' for each in honest]}, {rows} records"
    print(f"{addresses} addresses: {figures}, memory {memory_kb >> 10} MiB, at most {peak_kb >> 10} MiB")
    assert counts.get("401", 0) + counts.get("429", 0) > SECONDS * PER_S / 10
    assert set(counts) <= {"sent", "seconds", "401", "429", "503", "broken"}
    assert peak_kb - memory_kb < (128 + 64) << 10, "two hashes of 64 MiB, and no heap of those who wait"
    assert rows < answered / 10

    def summed() -> int:
        refused = gate.records("sign_in.refused")
        return sum(int(each.get("detail", {}).get("attempts", 1)) for each in refused)

    if addresses > 1:  # both floods are over
        gate.wait(lambda: summed() >= answered, "every attempt on record, one by one or in a sum", within_s=60)

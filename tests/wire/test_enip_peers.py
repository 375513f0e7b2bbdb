"""The messages of pylogix and pycomm3, independent clients: read as they mean them, refused as they understand.

Their own code makes and reads the bytes; what they take for a network leads through the decoder to a small controller.
"""

from __future__ import annotations

from collections.abc import Callable

import pycomm3
import pylogix
import pytest
from enip_plant import Controller, Gate

from penstock.model import Operation, OperationClass, Target

READ, WRITE = OperationClass.READ, OperationClass.WRITE
Make = Callable[[Callable[[Operation], bool]], Gate]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Make:
    """A gate with a judgement, behind both libraries."""

    def make(is_allowed: Callable[[Operation], bool]) -> Gate:
        found = Gate(Controller(Speed=[10], Recipe=list(range(20)), Limit=[99]), is_allowed)
        monkeypatch.setattr("pylogix.lgx_comm.socket", found.library())
        monkeypatch.setattr("pycomm3.socket_.socket", found.library())
        return found

    return make


def reads_only(operation: Operation) -> bool:
    return WRITE not in operation.classes


def everything(_operation: Operation) -> bool:
    return True


def touched(gate: Gate, kind: OperationClass) -> list[Target]:
    return [target for each in gate.asked for target in each.targets if target.operation_class is kind]


def test_what_pylogix_reads_and_writes_is_what_it_was_asked_for(gate: Make) -> None:
    through = gate(everything)
    with pylogix.PLC("10.0.0.1") as client:
        assert client.Write("Speed", 55).Status == "Success"
        assert client.Read("Speed").Value == 55
        assert client.Read("Recipe[3]", 4).Value == [3, 4, 5, 6]
        assert [each.Value for each in client.Read(["Speed", "Limit"])] == [55, 99]
        assert client.Write("Recipe[2]", [7, 8]).Status == "Success"
    assert touched(through, WRITE) == [
        Target(WRITE, "tags", 0, 1, "speed", (55,)),
        Target(WRITE, "tags", 2, 2, "recipe", (7, 8)),
    ]
    assert Target(READ, "tags", 3, 4, "recipe") in touched(through, READ)
    assert through.controller.tags["Recipe"][2:4] == [7, 8]


def test_pylogix_shows_an_error_and_stays_connected(gate: Make) -> None:
    through = gate(reads_only)
    with pylogix.PLC("10.0.0.1") as client:
        assert client.Write("Speed", 55).Status == "Privilege violation"
        assert client.Read("Speed").Value == 10
        answers = client.Write([("Speed", 1), ("Limit", 2)])
        assert [each.Status for each in answers] == ["Privilege violation"] * 2
        assert client.Write("Speed.3", 1).Status == "Privilege violation"
        assert client.Read("Limit").Value == 99
    assert through.controller.tags["Speed"] == [10]
    assert sum("Forward Open" in each.name for each in through.asked) == 1, "it never had to connect again"
    assert len(through.refused) == 3


def test_what_pycomm3_asks_for_by_number_is_known_by_name(gate: Make) -> None:
    """It reads the controller's list of tags first, and uses numbers from then on."""
    through = gate(everything)
    with pycomm3.LogixDriver("10.0.0.1", init_program_tags=False) as client:
        assert client.write("Speed", 55)
        assert client.read("Speed").value == 55
        assert [each.value for each in client.read("Speed", "Limit")] == [55, 99]
    (written,) = touched(through, WRITE)
    assert written == Target(WRITE, "tags", 0, 1, "speed", (55,), aliases=("0x6b/1",))
    assert {each.name for each in touched(through, READ) if each.table == "tags"} == {"speed", "limit"}


def test_pycomm3_shows_an_error_and_stays_connected(gate: Make) -> None:
    through = gate(reads_only)
    with pycomm3.LogixDriver("10.0.0.1", init_program_tags=False) as client:
        refused = client.write("Speed", 55)
        assert (bool(refused), refused.error) == (False, "Permission denied")
        both = client.write(("Speed", 1), ("Limit", 2))
        assert [bool(each) for each in both] == [False, False]
        assert client.read("Limit").value == 99
        assert client.connected
    assert through.controller.tags == {"Speed": [10], "Recipe": list(range(20)), "Limit": [99]}
    assert sum("Forward Open" in each.name for each in through.asked) == 1


def test_pccc_of_pycomm3_is_files_and_elements(gate: Make) -> None:
    through = gate(everything)
    with pycomm3.SLCDriver("10.0.0.1") as client:
        assert client.write(("N7:3", 42))
        assert client.read("N7:3").value == 42
    assert touched(through, WRITE) == [Target(WRITE, "files", 3, 1, "n7", (42,))]
    assert touched(through, READ) == [Target(READ, "files", 3, 1, "n7")]


def test_a_refused_pccc_command_is_an_error_to_pycomm3(gate: Make) -> None:
    through = gate(reads_only)
    with pycomm3.SLCDriver("10.0.0.1") as client:
        refused = client.write(("N7:3", 42))
        assert (bool(refused), refused.error) == (False, "Error code in EXT STS Byte")
        assert client.read("N7:3").value == 0
    assert through.controller.file[3] == 0

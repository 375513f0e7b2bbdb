"""What was seen in a capture is put into words for people without loss."""

from __future__ import annotations

import pytest

from penstock.model import Operation, OperationClass, Target
from penstock.observe.decoded import meaning_of, object_of, target_text
from penstock.observe.dissection import Unit
from penstock.wire import Shown

WRITE = OperationClass.WRITE


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target(WRITE, "coils", 0), "coils 0"),
        (Target(WRITE, "coils", 7, 1, "", (1,)), "coils 7 = 1"),
        (Target(WRITE, "holding_registers", 10, 3, "", (1, 2, 3)), "holding_registers 10-12 = 1, 2, 3"),
        (Target(WRITE, "tag", 0, 1, "Line1.Speed", (1.5,)), "tag Line1.Speed = 1.5"),
        (Target(WRITE, "tag", 5, 2, "Line1.Speeds"), "tag Line1.Speeds 5-6"),
        (Target(WRITE, "Value", 85, 1, "i=85"), "Value i=85"),
        (Target(WRITE, "Value", 85, 1, "i=86"), "Value i=86 85"),
        (Target(WRITE, "Value", 0, 1, "ns=1;s=x", ()), "Value ns=1;s=x"),
        (Target(WRITE, "C_SC_NA_1", 4500, 1, "", ("on",)), "C_SC_NA_1 4500 = on"),
    ],
)
def test_a_target_is_its_table_its_name_its_numbers_and_its_values(target: Target, text: str) -> None:
    assert target_text(target) == text


def test_all_objects_of_an_operation_are_named_and_the_unit_in_front_of_them() -> None:
    targets = (Target(WRITE, "coils", 1), Target(WRITE, "coils", 3))
    assert object_of(Operation("modbus", (WRITE,), "15", "Write", 4, targets)) == "unit 4: coils 1; coils 3"
    assert object_of(Operation("modbus", (WRITE,), "15", "Write", None, targets)) == "coils 1; coils 3"
    assert object_of(Operation("modbus", (WRITE,), "15", "Write", 0, ())) == "unit 0"
    assert object_of(Operation("modbus", (WRITE,), "15", "Write")) == ""


def test_an_operation_of_several_classes_has_all_of_them() -> None:
    both = Operation("modbus", (OperationClass.READ, WRITE), "23", "Read/Write Multiple Registers")
    unit = Unit(Shown({"p": "mbtcp"}), both)
    assert meaning_of(unit) == {"class": "read+write", "operation": "Read/Write Multiple Registers", "object": ""}

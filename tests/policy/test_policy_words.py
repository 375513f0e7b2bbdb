"""What a document may say of operations in any protocol: patterns, units, values that are no whole numbers."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_cases import CLASSES, INVENTORY, asking, operation, person, policy_of, read, write

from penstock.model import Interval, Invalid, Operation, Permission, Reason, Span, Target, Value
from penstock.policy import accept, decide, parse
from penstock.policy.describe import target_text
from penstock.policy.permits import Permit, fits_pattern

WAY = "Way: {from: {group: ops}, to: {asset: plc-1}, allow: {modbus: [%s]}}"


def reason(allow: str, asked: Operation) -> Reason:
    return decide(policy_of(WAY % allow), asking(person("ops"), asked)).reason


def permit(*spans: Span, values: tuple[Interval, ...] = (), words: tuple[str, ...] = ()) -> Permit:
    made = Permission(protocol="x", operation_class=CLASSES.WRITE, spans=spans, values=values, words=words)
    return Permit.of(made, "key")


def named(name: str, table: str = "tag", first: int = 0, count: int = 1, *values: Value) -> Target:
    return Target(CLASSES.WRITE, table, first, count, name, values or None)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_pattern_fits_as_shell_patterns_do(pattern: str, name: str) -> None:
    assert fits_pattern(pattern, name) == fnmatch.fnmatchcase(name, pattern)


def test_a_long_name_against_many_stars_takes_no_time_to_speak_of() -> None:
    """Backtracking would take longer than the universe has."""
    assert not fits_pattern("a*" * 200 + "b", "a" * 5000)


def test_a_target_must_fit_one_span_of_each_axis() -> None:
    both = permit(
        Span(table="analog-value", first=1, last=5),
        Span(table="binary-output"),
        Span(table="", name="present-value", axis="property"),
    )
    assert both.covers(named("present-value", "analog-value", 3), None)
    assert both.covers(named("present-value", "binary-output", 70_000), None)
    assert not both.covers(named("out-of-service", "analog-value", 3), None)
    assert not both.covers(named("present-value", "analog-value", 6), None)
    assert not both.covers(named("present-value", "device", 3), None)


def test_names_and_elements_of_one_span_belong_together() -> None:
    """``Recipe[0-9]`` and ``Speed`` do not make ``Speed[5]``."""
    tags = permit(Span(table="tag", name="Recipe", first=0, last=9), Span(table="tag", name="Speed", first=0, last=0))
    assert tags.covers(named("Recipe", first=8, count=2), None)
    assert not tags.covers(named("Recipe", first=8, count=3), None)
    assert not tags.covers(named("Speed", first=5), None)


def test_what_is_named_twice_is_one_object() -> None:
    """Words of several items may bring the same with them (OPC UA: what names no node)."""
    policy = policy_of("Way: {from: {group: ops}, to: {asset: plc-1}, allow: {modbus: [{read: {coils: [5, 5, 7]}}]}}")
    (permission,) = policy.site.conduits[0].permissions
    assert permission.spans == (Span(table="coils", first=5, last=5), Span(table="coils", first=7, last=7))


def test_each_name_of_an_object_is_a_name_of_it() -> None:
    """A browse path in a document means the node that the traffic showed under that path."""
    level = Target(CLASSES.WRITE, "Value", 7, 1, "ns=2;i=7", None, None, ("/0:Objects/2:Boiler/2:Level",))
    assert target_text(level) == "Value ns=2;i=7", "a number that stands in the name is said once"
    assert permit(Span(table="", name="/0:Objects/2:Boiler/*")).covers(level, None)
    assert permit(Span(table="", name="ns=2;i=*", first=5, last=9)).covers(level, None)
    assert not permit(Span(table="", name="/0:Objects/2:Boiler/2:Speed")).covers(level, None)
    assert not permit(Span(table="", name="/0:Objects/2:Boiler/*", first=0, last=6)).covers(level, None)


def test_a_word_is_allowed_by_name_and_a_number_by_its_interval() -> None:
    values = permit(values=(Interval(low=0.5, high=5.5),), words=("latch_on",))
    assert values.admits(named("x", "tag", 0, 2, "latch_on", 5.5))
    assert not values.admits(named("x", "tag", 0, 1, "trip"))
    assert not values.admits(named("x", "tag", 0, 1, 0.4))
    assert not values.admits(named("x"))
    assert not permit(words=("on",)).admits(named("x", "tag", 0, 1, 1))


@pytest.mark.parametrize(
    ("unit", "expected"),
    [(1, Reason.ALLOWED), (4, Reason.ALLOWED), (2, Reason.OBJECT_OUT_OF_RANGE), (None, Reason.OBJECT_OUT_OF_RANGE)],
)
def test_units_are_the_devices_behind_the_address(unit: int | None, expected: Reason) -> None:
    asked = operation(*read(5).targets)
    asked = Operation(asked.protocol, asked.classes, asked.code, asked.name, unit, asked.targets)
    assert reason("{read: {units: [1, 3-4]}}", asked) is expected


def test_memory_is_judged_as_the_type_that_the_document_names() -> None:
    """A set point may be written as a number or as the bytes of it; what it means to the program decides."""
    way = "Way: {from: {group: ops}, to: {asset: plc-2}, allow: {s7comm: [%s]}}"
    policy = policy_of(way % "{write: {address: [DB10.DBD4:REAL, DB10.DBW8:INT], values: -5..80.5}}")

    def answered(first: int, count: int, memory: bytes | None, *values: Value) -> Reason:
        target = Target(CLASSES.WRITE, "DB10", first, count, "", values or None, memory)
        asked = operation(target, protocol="s7comm")
        return decide(policy, asking(person("ops"), asked, "plc-2", "s7comm", has_tls=True)).reason

    assert answered(32, 32, bytes.fromhex("42a10000"), 0x42, 0xA1, 0, 0) is Reason.ALLOWED
    assert answered(32, 32, bytes.fromhex("42a20000"), 0x42, 0xA2, 0, 0) is Reason.VALUE_OUT_OF_RANGE
    assert answered(32, 48, bytes.fromhex("42a10000fffb"), 80.5) is Reason.ALLOWED
    assert answered(32, 48, bytes.fromhex("42a10000fffa"), 80.5) is Reason.VALUE_OUT_OF_RANGE
    assert answered(32, 16, bytes.fromhex("42a1"), 1) is Reason.VALUE_OUT_OF_RANGE
    assert answered(39, 1, None, 1) is Reason.VALUE_OUT_OF_RANGE
    assert answered(80, 16, bytes.fromhex("0001"), 1) is Reason.OBJECT_OUT_OF_RANGE


def test_a_denial_speaks_of_objects_in_the_words_of_the_field() -> None:
    way = "Way: {from: {group: ops}, to: {asset: plc-2}, allow: {s7comm: [%s]}}"
    policy = policy_of(way % "{write: {address: [DB10.DBD4:REAL, M0.0-M1.7]}}")
    target = Target(CLASSES.WRITE, "DB10", 64, 16, "", (1,), b"\0\1")
    decision = decide(
        policy, asking(person("ops"), operation(target, protocol="s7comm"), "plc-2", "s7comm", has_tls=True)
    )
    (miss,) = decision.misses
    assert (miss.wanted, miss.found) == ("write DB10.DBD4:REAL and M0.0-M1.7", "DB10.DBW8")


def test_read_only_engineering_lets_look_and_change_nothing() -> None:
    for found in CLASSES:
        expected = {
            CLASSES.SESSION: Reason.ALLOWED,
            CLASSES.DISCOVERY: Reason.ALLOWED,
            CLASSES.READ: Reason.ALLOWED,
            CLASSES.DIAGNOSTICS: Reason.ALLOWED,
            CLASSES.FILE_READ: Reason.ALLOWED,
            CLASSES.PROGRAM_FROM_DEVICE: Reason.ALLOWED,
            CLASSES.UNKNOWN: Reason.UNKNOWN_OPERATION,
        }.get(found, Reason.OPERATION_NOT_ALLOWED)
        assert reason("read-only engineering", operation(classes=(found,))) is expected


def test_a_signed_limit_of_registers_means_their_twos_complement() -> None:
    assert reason("{write: {values: -5..3}}", write(1, 0xFFFB, 3)) is Reason.ALLOWED
    assert reason("{write: {values: -5..3}}", write(1, 0xFFFA)) is Reason.VALUE_OUT_OF_RANGE


@pytest.mark.parametrize("nothing", ["null", "~", "", "true", "[null]"])
def test_what_is_no_text_names_no_object(nothing: str) -> None:
    """A tag or a file may be called `null` or `true`; then it stands in quotes."""
    site = INVENTORY.replace("modbus: 502, web", "enip: 44818, web")
    way = f"  Way: {{from: {{group: ops}}, to: {{asset: plc-1}}, allow: {{enip: [{{read: {{tags: {nothing}}}}}]}}}}"
    with pytest.raises(Invalid) as caught:
        parse({"site.yaml": f"{site}conduits:\n{way}\n"})
    (problem,) = caught.value.problems
    assert "tags" in problem.why


def test_true_and_false_are_values_where_the_protocol_has_them() -> None:
    """With and without quotes, and as numbers."""
    site = INVENTORY.replace("modbus: 502, web", "opcua: 4840, web")
    way = "  Way: {from: {group: ops}, to: {asset: plc-1}, allow: {opcua: [{write: {values: %s}}]}}"
    for text, admitted in (("true", True), ('"true"', True), ("[false, 5]", False)):
        policy = accept(parse({"site.yaml": f"{site}conduits:\n{way % text}\n"}), 1)
        found = Permit.of(policy.site.conduits[0].permissions[0], "key")
        assert found.admits(named("ns=2;i=5", "Value", 5, 1, admitted))
        assert not found.admits(named("ns=2;i=5", "Value", 5, 1, not admitted))

"""DNP3 in a site document: what its words let through, decided on messages as they stand on the wire."""

from __future__ import annotations

import pytest
from dnp3_messages import CLASS_POLL, CROB, LATCH_ON, fed, request, response
from narrowed import decided, site

from penstock.model import Invalid, Reason
from penstock.policy import accept, parse
from penstock.wire import Side
from penstock.wire.dnp3 import DNP3


def asked(allow: str, app: str, to: int = 10) -> Reason:
    (frame,) = fed(Side.CLIENT, request(app, to=to))
    return decided("dnp3", 20000, allow, frame.operation)


OUTSIDE, VALUE, CLASS = Reason.OBJECT_OUT_OF_RANGE, Reason.VALUE_OUT_OF_RANGE, Reason.OPERATION_NOT_ALLOWED
ANALOG = "{write: {analog_outputs: [5, 7], values: -5.5..10}}"
OUTPUTS = "{write: {binary_outputs: 0-5, values: [latch_on, close]}}"


@pytest.mark.parametrize(
    ("allow", "app", "reason"),
    [
        (OUTPUTS, f"C3 05 {CROB}", Reason.ALLOWED),
        (OUTPUTS, f"C3 03 {CROB}", Reason.ALLOWED),
        (OUTPUTS, f"C3 05 {CROB.replace('0500', '0600')}", OUTSIDE),
        (OUTPUTS, f"C3 05 {CROB.replace('03 01', '04 01')}", VALUE),
        (OUTPUTS, f"C3 05 {CROB.replace('03 01', '41 01')}", Reason.ALLOWED),
        (OUTPUTS, f"C3 05 {CROB.replace('03 01', '81 01')}", VALUE),
        (OUTPUTS, f"C3 05 {CROB.replace('03 01', '43 01')}", VALUE),
        (OUTPUTS, f"C3 05 0C01 17 02 01 {LATCH_ON} 09 {LATCH_ON}", OUTSIDE),
        (OUTPUTS, f"C3 05 {CROB} 2902 17 01 01 0100 00", OUTSIDE),
        (OUTPUTS, f"C3 05 {CROB} 6301 17 01 01 00", Reason.UNKNOWN_OPERATION),
        (OUTPUTS, "C3 0D", CLASS),
        (OUTPUTS, "C3 07 1400 06", OUTSIDE),
        (ANALOG, "C3 05 2903 17 01 05 000048C0 00", Reason.ALLOWED),
        (ANALOG, "C3 05 2903 17 01 05 0000B0C0 00", Reason.ALLOWED),
        (ANALOG, "C3 05 2903 17 01 05 0000C0C0 00", VALUE),
        (ANALOG, "C3 05 2903 17 01 05 0000C07F 00", VALUE),
        (ANALOG, "C3 05 2902 28 0200 0500 0A00 00 0700 F6FF 00", VALUE),
        (ANALOG, "C3 05 2902 28 0200 0500 0A00 00 0700 FFFF 00", Reason.ALLOWED),
        (ANALOG, "C3 05 2902 28 0200 0500 0A00 00 0600 0100 00", OUTSIDE),
        ("{write: {counters: 0-3}}", "C3 07 1400 00 00 03", Reason.ALLOWED),
        ("{write: {counters: 0-3}}", "C3 07 1400 06", OUTSIDE),
        ("{write: {counters: 0-65535}}", "C3 07 1400 06", Reason.ALLOWED),
        ("{read: {analog_inputs: 0-9}}", "C3 01 1E02 00 00 09", Reason.ALLOWED),
        ("{read: {analog_inputs: 0-9}}", "C3 01 1E02 00 00 0A", OUTSIDE),
        ("{read: {analog_inputs: 0-9}}", "C3 01 2000 06", OUTSIDE),
        ("{read: {analog_inputs: 0-9}}", CLASS_POLL, OUTSIDE),
        ("{read: {analog_inputs: 0-9, event_classes: 1-3}}", "C3 01 3C02 06 3C03 06 3C04 06", Reason.ALLOWED),
        ("{read: {analog_inputs: 0-9, event_classes: 1-3}}", CLASS_POLL, OUTSIDE),
        ("read", CLASS_POLL, Reason.ALLOWED),
        ("read", "C3 01 00FE 00 00 00", CLASS),
        ("read-only engineering", "C3 01 00FE 00 00 00", Reason.ALLOWED),
        ("read-only engineering", "C3 14 3C02 06", CLASS),
        ("read", "C3 02 5001 00 07 07 00", Reason.ALLOWED),
        ("{config: {event_classes: 1-3}}", "C3 14 3C02 06", Reason.ALLOWED),
        ("{config: {event_classes: 1-3}}", "C3 02 3201 07 01 000000000000", OUTSIDE),
        ("{config: {analog_deadbands: 3, values: 1-9}}", "C3 02 2202 00 03 03 05000000", Reason.ALLOWED),
        ("{config: {analog_deadbands: 3, values: 1-9}}", "C3 02 2202 00 03 03 0A000000", VALUE),
        ("{write: {units: 11}}", f"C3 05 {CROB}", OUTSIDE),
        ("{write: {units: 10}}", f"C3 05 {CROB}", Reason.ALLOWED),
    ],
)  # fmt: skip
def test_a_conduit_in_the_fields_own_words(allow: str, app: str, reason: Reason) -> None:
    assert asked(allow, app) is reason


def test_a_conduit_for_some_outstations_does_not_mean_all_of_them() -> None:
    for everybody in (0xFFFD, 0xFFFE, 0xFFFF):
        assert asked("{write: {units: 10}}", f"C3 05 {CROB}", to=everybody) is OUTSIDE


def _open(name: bytes, mode: int) -> str:
    spot = b"\x1a\0" + len(name).to_bytes(2, "little") + bytes(16) + bytes((mode, 0)) + bytes(4) + name
    return f"C6 19 4603 5B 01 {len(spot).to_bytes(2, 'little').hex()} {spot.hex()}"


@pytest.mark.parametrize(
    ("allow", "name", "mode", "reason"),
    [
        ("{file_read: {files: logs/*}}", b"logs/day.csv", 1, Reason.ALLOWED),
        ("{file_read: {files: logs/*}}", b"logs/day.csv", 2, CLASS),
        ("{file_read: {files: logs/*}}", b"config.xml", 1, OUTSIDE),
        ("{file_write: {files: [logs/*, config.xml]}}", b"config.xml", 2, Reason.ALLOWED),
        ("{file_write: {files: [logs/*, config.xml]}}", b"config.xmlx", 2, OUTSIDE),
    ],
)
def test_files_are_named_with_wildcards(allow: str, name: bytes, mode: int, reason: Reason) -> None:
    assert asked(allow, _open(name, mode)) is reason


def test_a_block_of_a_file_that_nobody_saw_opened_meets_no_name() -> None:
    block = "C7 02 4605 5B 01 0C00 07000000 00000080 41424344"
    assert asked("{file_write: {files: '*'}}", block) is Reason.ALLOWED
    assert asked("{file_write: {files: logs/*}}", block) is OUTSIDE


def test_what_an_outstation_reports_by_itself_is_held_to_what_may_be_read() -> None:
    (empty,) = fed(Side.ASSET, response("F0 82 8000"))
    (report,) = fed(Side.ASSET, response("F2 82 0000 2002 17 02 03 01 0100 09 01 0100"))
    assert decided("dnp3", 20000, "{write: {binary_outputs: 1}}", empty.operation) is Reason.ALLOWED
    assert decided("dnp3", 20000, "{write: {binary_outputs: 1}}", report.operation) is CLASS
    assert decided("dnp3", 20000, "{read: {analog_inputs: 0-9}}", report.operation) is Reason.ALLOWED
    assert decided("dnp3", 20000, "{read: {analog_inputs: 0-8}}", report.operation) is OUTSIDE


@pytest.mark.parametrize(
    ("allow", "why"),
    [
        ("{write: {binary_outputs: 5-3}}", "'5-3' is no range"),
        ("{write: {binary_outputs: 0-65536}}", "must be from 0 to 65535"),
        ("{read: {event_classes: 4}}", "must be from 0 to 3"),
        ("{write: {binary_inputs: 1}}", "binary_inputs cannot be written"),
        ("{write: {files: a}}", "name no files"),
        ("{write: {binary_outputs: 1, values: [open]}}", "is no range"),
    ],
)
def test_an_error_in_a_limit_names_file_and_line(allow: str, why: str) -> None:
    with pytest.raises(Invalid) as caught:
        accept(parse({"site.yaml": site("dnp3", 20000, allow)}), 1)
    (problem,) = caught.value.problems
    assert problem.where.startswith("site.yaml:9:")
    assert why in problem.why


def test_every_limit_has_an_example_that_can_be_read() -> None:
    for limit in DNP3.limits:
        key, text = limit.example.split(": ")
        assert key == limit.key
        assert limit.read(text)

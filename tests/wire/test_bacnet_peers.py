"""What bacpypes3 encodes is read, and what refuses a request is read by bacpypes3 as the error that it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bacnet_datagrams import COLDSTART, READ, STATION_3_6C, WRITE, bvll, confirmed, fed, meaning, npdu
from bacpypes3.apdu import (
    APDU,
    APCISequence,
    ReadPropertyMultipleRequest,
    ReadPropertyRequest,
    WritePropertyRequest,
)
from bacpypes3.basetypes import PropertyReference, ReadAccessSpecification
from bacpypes3.constructeddata import Any as AnyValue
from bacpypes3.npdu import NPDU
from bacpypes3.pdu import PDU
from bacpypes3.primitivedata import CharacterString, Double, Enumerated, Integer, Null, Real, Unsigned

from penstock.model import OperationClass as Is
from penstock.model import Reason, Target
from penstock.wire import Role, Side
from penstock.wire.bacnet import BacnetDecoder, BacnetFrame
from penstock.wire.bacnet.properties import property_name

VALUES: list[tuple[Any, object]] = [
    (Real(21.5), 21.5),
    (Unsigned(70000), 70000),
    (Integer(-5), -5),
    (Enumerated(1), 1),
    (Double(0.1), 0.1),
    (CharacterString("Zulauf ä"), "Zulauf ä"),
    (Null(()), "null"),
]


def encoded(request: Any) -> bytes:
    """The APDU that bacpypes3 makes of a request."""
    request.apduInvokeID = 7
    apdu = request.encode()
    apdu.apduSeg = apdu.apduMor = False
    apdu.apduSA, apdu.apduMaxSegs, apdu.apduMaxResp = True, 0, 5
    return bytes(apdu.encode().pduData)


@pytest.mark.parametrize(("value", "wanted"), VALUES, ids=[type(value).__name__ for value, _ in VALUES])
@pytest.mark.parametrize("priority", [None, 1, 16])
def test_writes_that_bacpypes3_encodes_are_read(value: Any, wanted: object, priority: int | None) -> None:
    more = {} if priority is None else {"priority": priority}
    request = WritePropertyRequest(
        objectIdentifier="analog-value,77", propertyIdentifier="present-value", propertyValue=AnyValue(value), **more
    )
    (target,) = meaning(npdu(encoded(request))).targets
    name = property_name(85, None, priority or 16)
    assert target == Target(Is.WRITE, "analog-value", 77, 1, name, (wanted,))


def test_reads_that_bacpypes3_encodes_are_read() -> None:
    one = ReadPropertyRequest(
        objectIdentifier="device,4194303", propertyIdentifier="object-list", propertyArrayIndex=1000
    )
    wanted = Target(Is.READ, "device", 4194303, 1, "object-list[1000]")
    assert meaning(npdu(encoded(one))).targets == (wanted,)
    references = [PropertyReference("present-value"), PropertyReference("priority-array[3]")]
    specification = ReadAccessSpecification(objectIdentifier="analog-value,1", listOfPropertyReferences=references)
    several = meaning(npdu(encoded(ReadPropertyMultipleRequest(listOfReadAccessSpecs=[specification]))))
    assert [target.name for target in several.targets] == ["present-value", "priority-array[3]"]


def heard(refusal: bytes) -> tuple[NPDU, Any]:
    """What bacpypes3 makes of a datagram: the network layer, and the answer with its invoke id."""
    assert refusal[:2] == b"\x81\x0a"
    assert int.from_bytes(refusal[2:4], "big") == len(refusal)
    network = NPDU.decode(PDU(refusal[4:]))
    answer = APDU.decode(network)
    assert answer.apduInvokeID == 7
    return network, APCISequence.decode(answer) if answer.apduType == 5 else answer


def refused(datagram: bytes, reason: Reason = Reason.OPERATION_NOT_ALLOWED) -> tuple[NPDU, Any]:
    decoder = BacnetDecoder()
    return heard(decoder.refuse(fed(datagram, decoder=decoder), reason))


ERRORS = [
    (5, "09 12 1c 00000001", "property", "read-access-denied"),
    (6, "c4 02800003 0e 31 00 21 05 0f", "services", "file-access-denied"),
    (7, "c4 02800003 0e 31 00 61 05 0f", "services", "file-access-denied"),
    (10, "0e 09 02 0f", "object", "dynamic-creation-not-supported"),
    (11, "c4 00800001", "object", "object-deletion-not-permitted"),
    (12, READ, "property", "read-access-denied"),
    (14, "0c 00800001 1e 09 55 1f", "property", "read-access-denied"),
    (15, WRITE, "property", "write-access-denied"),
    (16, "0c 00800001 1e 09 57 19 03 2e 00 2f 1f", "property", "write-access-denied"),
    (17, "19 01", "services", "service-request-denied"),
    (18, "09 07 1a 0101", "services", "service-request-denied"),
    (20, COLDSTART, "services", "service-request-denied"),
    (22, "21 01", "services", "service-request-denied"),
]


@pytest.mark.parametrize(("service", "parts", "kind", "code"), ERRORS)
def test_a_refusal_is_an_error_of_that_service_to_that_invoke_id(
    service: int, parts: str, kind: str, code: str
) -> None:
    _, answer = refused(npdu(confirmed(service, parts)))
    assert answer.apduService == service
    error = getattr(answer, "errorType", answer)
    assert (str(error.errorClass), str(error.errorCode)) == (kind, code)


@pytest.mark.parametrize(
    ("reason", "kind", "code"),
    [
        (Reason.OBJECT_OUT_OF_RANGE, "property", "write-access-denied"),
        (Reason.VALUE_OUT_OF_RANGE, "property", "value-out-of-range"),
        (Reason.RATE_EXCEEDED, "device", "device-busy"),
        (Reason.TOO_MANY_IN_FLIGHT, "device", "device-busy"),
        (Reason.EVIDENCE_UNAVAILABLE, "device", "device-busy"),
        (Reason.HOLD_TIMED_OUT, "device", "device-busy"),
        (Reason.HOLD_REFUSED, "property", "write-access-denied"),
        (Reason.INSPECTION_UNAVAILABLE, "device", "operational-problem"),
        (Reason.NO_CONDUIT, "property", "write-access-denied"),
    ],
)
def test_the_reason_decides_the_error(reason: Reason, kind: str, code: str) -> None:
    _, answer = refused(npdu(confirmed(15, WRITE)), reason)
    assert (str(answer.errorClass), str(answer.errorCode)) == (kind, code)


@pytest.mark.parametrize(
    ("service", "parts", "error"),
    [
        (8, "0c 03c00001 19 66 3e 00 3f", "0e 9102 9128 0f 1900"),
        (9, "0c 03c00001 19 66 3e 00 3f", "0e 9102 9128 0f 1900"),
        (27, "09 12 1a 00 61 29 01", "9105 911d"),
    ],
)
def test_an_error_that_bacpypes3_does_not_read_has_the_form_of_the_standard(
    service: int, parts: str, error: str
) -> None:
    decoder = BacnetDecoder()
    refusal = decoder.refuse(fed(npdu(confirmed(service, parts)), decoder=decoder), Reason.NO_CONDUIT)
    assert refusal == npdu(bytes((0x50, 7, service)) + bytes.fromhex(error), control=0)


def test_an_error_to_several_writes_names_the_first_of_them() -> None:
    _, answer = refused(npdu(confirmed(16, "0c 00800001 1e 09 57 19 03 2e 00 2f 1f")))
    first = answer.firstFailedWriteAttempt
    assert (str(first.objectIdentifier), str(first.propertyIdentifier), first.propertyArrayIndex) == (
        "analog-value,1", "priority-array", 3,
    )  # fmt: skip


def test_an_error_to_a_private_transfer_names_vendor_and_service() -> None:
    _, answer = refused(npdu(confirmed(18, "09 07 1a 0101")))
    assert (answer.vendorID, answer.serviceNumber) == (7, 257)


@pytest.mark.parametrize(("service", "parts", "reason"), [(99, "", 9), (12, "0c 00800001", 0)])
def test_what_is_not_to_be_understood_is_rejected(service: int, parts: str, reason: int) -> None:
    _, answer = refused(npdu(confirmed(service, parts)), Reason.MALFORMED)
    assert (type(answer).__name__, answer.apduAbortRejectReason) == ("RejectPDU", reason)


def test_a_refusal_comes_from_the_device_that_was_asked() -> None:
    """Network and address of the destination are those of the source now, and the other way round."""
    asking = bytes.fromhex("0005 02 0a0b")
    network, answer = refused(npdu(confirmed(15, WRITE), to=STATION_3_6C, by=asking))
    assert (str(network.npduSADR), str(network.npduDADR)) == ("3:108", "5:0x0a0b")
    assert str(answer.errorCode) == "write-access-denied"


def test_what_nobody_answers_is_dropped() -> None:
    """Unconfirmed requests, messages of networks, and whatever is for more than one device."""
    decoder = BacnetDecoder()
    shared = [npdu(confirmed(15, WRITE), function=0x0B), npdu(confirmed(15, WRITE), to=bytes.fromhex("ffff00"))]
    for datagram in (*shared, npdu(b"\x10\x08"), npdu(b"\x90\x08"), bvll("01020304", 0x0C), bvll("0180 00")):
        assert decoder.refuse(fed(datagram, decoder=decoder), Reason.OPERATION_NOT_ALLOWED) == b""


@pytest.mark.parametrize(
    ("function", "content", "result"),
    [(1, "", 0x10), (2, "", 0x20), (5, "003c", 0x30), (6, "", 0x40), (8, "0a000001bac0", 0x50)],
)
def test_a_function_of_the_link_is_refused_with_its_result(function: int, content: str, result: int) -> None:
    decoder = BacnetDecoder()
    refusal = decoder.refuse(fed(bvll(content, function), decoder=decoder), Reason.OPERATION_NOT_ALLOWED)
    assert refusal == bvll(result.to_bytes(2, "big"), 0)


@pytest.mark.parametrize("message", ["06 00", "08 0005 3c", "09 0005"])
def test_what_changes_a_router_is_refused_with_a_reject(message: str) -> None:
    decoder = BacnetDecoder()
    refusal = decoder.refuse(fed(bvll("0180" + message), decoder=decoder), Reason.OPERATION_NOT_ALLOWED)
    assert refusal == bvll("0180 03 00" + ("0000" if message.startswith("06") else "0005"))


PEER = json.loads((Path(__file__).parent / "bacnet_peer.json").read_text())["talks"]


def replayed() -> list[tuple[str, BacnetFrame]]:
    """All that the two said in one flow, as frames."""
    decoder = BacnetDecoder()
    said = [(talk["what"], Side(side), data) for talk in PEER for one in talk["said"] for side, data in one.items()]
    return [(what, fed(bytes.fromhex(data), side, decoder)) for what, side, data in said]


def test_what_a_client_and_a_device_of_bacpypes3_say_is_read() -> None:
    """Requests that were refused have no answer; every other one has, and each answer belongs to a request."""
    under_way: dict[tuple[Side, int], tuple[str, BacnetFrame]] = {}
    told: list[tuple[str, str, str, list[object]]] = []
    for what, frame in replayed():
        if frame.role in {Role.REQUEST, Role.NOTICE}:
            assert frame.operation.classes
            under_way[frame.side, frame.exchange] = what, frame
        elif frame.role is Role.REPLY and frame.is_last:
            other = Side.ASSET if frame.side is Side.CLIENT else Side.CLIENT
            asked, request = under_way.pop((other, frame.exchange))
            answer = BacnetDecoder().answer(request, frame)
            told.append((asked, request.operation.name, answer.status, [each.values for each in answer.targets][:2]))
    assert told == [
        ("read", "readProperty", "", [(21.0,)]),
        ("write", "writeProperty", "", []),
        ("read", "readProperty", "", [(21.5,)]),
        ("read after", "readProperty", "", [(21.5,)]),
        ("unknown prop", "readProperty", "2/32 property, unknown-property", []),
        ("rpm segmented", "readPropertyMultiple", "", [(21.5,), ("av1xxxxxxxx",)]),
        ("long write (segmented request)", "writeProperty", "", []),
        ("desc", "readProperty", "", [("y" * 600,)]),
        ("after", "readProperty", "", [(21.5,)]),
        ("subscription", "subscribeCOV", "", []),
        ("subscription", "confirmedCOVNotification", "", []),
        ("subscription", "writeProperty", "", []),
    ]
    unanswered = {what for what, frame in under_way.values() if frame.exchange >= 0}
    assert unanswered == {"write refused", "rpm refused", "long write refused"}


def test_what_bacpypes3_sends_in_segments_is_judged_whole() -> None:
    whole = [frame for what, frame in replayed() if what.startswith("long write") and frame.role is Role.REQUEST]
    assert [frame.operation.targets[0].values for frame in whole] == [("y" * 600,), ("z" * 600,)]

"""What a DNP3 response says to its request: indications and statuses that say no, and the values that it shows.

Pure.  IEEE 1815-2012, 4.2.2.5 (internal indications), A.8.1 (control status), A.28.4 (file status).
"""

from __future__ import annotations

from typing import Final

from penstock.model import Malformed
from penstock.wire.decoder import Answer, Frame
from penstock.wire.dnp3.codes import FILE_STATUSES, REFUSALS, STATUSES
from penstock.wire.dnp3.controls import ANALOGS, RELAYS, status_of
from penstock.wire.dnp3.files import file_status
from penstock.wire.dnp3.frames import OBJECTS_AT, RESPONSE_AT
from penstock.wire.dnp3.operations import reported

UNREADABLE: Final = Answer("unreadable")
_FILES: Final = 70
#: Second octet of the indications, and where a file object starts behind its header.
_INDICATIONS_AT: Final = RESPONSE_AT + 3
_FILE_AT: Final = OBJECTS_AT + 6


def answer(request: Frame, reply: Frame) -> Answer:
    """See `Decoder.answer`."""
    del request
    body = reply.what
    if len(body) < OBJECTS_AT:
        return UNREADABLE
    try:
        targets = reported(body, OBJECTS_AT)
        return Answer(_status(body), tuple(targets))
    except Malformed:
        return UNREADABLE


def _status(body: bytes) -> str:
    said = [f"IIN2.{bit} {name}" for bit, name in REFUSALS.items() if body[_INDICATIONS_AT] >> bit & 1]
    group = body[OBJECTS_AT] if len(body) > OBJECTS_AT else None
    if group in {RELAYS, ANALOGS}:
        status = status_of(body, OBJECTS_AT)
        said += [f"{status} {STATUSES.get(status, 'unknown status')}"] if status else []
    elif group == _FILES:
        file = file_status(body[_FILE_AT:], body[OBJECTS_AT + 1])
        if file is not None and file.status:
            said.append(f"{file.status} {FILE_STATUSES.get(file.status, 'unknown status')}")
    return ", ".join(said)

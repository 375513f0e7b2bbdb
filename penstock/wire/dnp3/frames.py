"""The frames of DNP3: requests, answers, reports, and what only the link is about.

Pure.  Made by `penstock.wire.dnp3.decoder`.  What a frame means is worked out only when it is asked for.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Operation, OperationClass
from penstock.wire.decoder import Frame, Role
from penstock.wire.dnp3.codes import (
    AUTHENTICATE_FILE,
    LINK_ANSWERS,
    LINK_SESSION,
    NAMES,
    PRIMARY_NAMES,
    SECONDARY_NAMES,
    UNSOLICITED,
)
from penstock.wire.dnp3.files import password_span
from penstock.wire.dnp3.link import FUNCTION, PRIMARY, starred
from penstock.wire.dnp3.operations import code_at, notice, operation

_CONTROL_AT: Final = 3
_DESTINATION_AT: Final = 4
_SESSION: Final = (OperationClass.SESSION,)
_UNKNOWN: Final = (OperationClass.UNKNOWN,)
#: In the `what` of an answer: address, fragment with control, function, two octets of indications, objects.
RESPONSE_AT: Final = 2
OBJECTS_AT: Final = 6


class RequestFrame(Frame, gc=False):
    """A request; see `penstock.wire.dnp3.operations` for its `what`."""

    @property
    def operation(self) -> Operation:
        """What it asks for.  Raises `Malformed`."""
        return operation(self.what)

    @property
    def asked(self) -> tuple[int, bytes]:
        """The function code, and the objects as they came."""
        at = code_at(self.what)
        return self.what[at], self.what[at + 1 :]

    @property
    def recorded(self) -> bytes:
        """Without the password of who authenticates for files (A.28.2)."""
        code, objects = self.asked
        if code != AUTHENTICATE_FILE:
            return self.data
        #: The fragment has its control octet and the function code in front of the objects.
        first, end = password_span(objects)
        return starred(self.data, first + 2, end + 2)


class AnswerFrame(Frame, gc=False):
    """A response, or an unsolicited one; `what` is the outstation's address and the fragment.

    That of an unsolicited one lacks its sequence number.
    """

    @property
    def operation(self) -> Operation:
        """What an unsolicited response reports; others are part of what they answer.  Raises `Malformed`."""
        unit, code = int.from_bytes(self.what[:RESPONSE_AT], "little"), self.what[RESPONSE_AT + 1]
        if code == UNSOLICITED:
            return notice(unit, self.what[OBJECTS_AT:])
        if self.role is Role.REPLY:
            return Operation("dnp3", _SESSION, str(code), NAMES[code], unit)
        return Operation("dnp3", _UNKNOWN, str(code), f"unknown function {code} of an outstation", unit)


class LinkFrame(Frame, gc=False):
    """A frame without user data, or a confirmation; `what` is its control octet and its destination."""

    @property
    def operation(self) -> Operation:
        """Part of the session, or a link function that the taxonomy does not list."""
        control = self.data[_CONTROL_AT]
        unit = int.from_bytes(self.data[_DESTINATION_AT : _DESTINATION_AT + 2], "little")
        function = control & FUNCTION
        names = PRIMARY_NAMES if control & PRIMARY else SECONDARY_NAMES
        is_listed = function in (LINK_SESSION if control & PRIMARY else LINK_ANSWERS)
        name = names.get(function, f"unknown link function {function}")
        return Operation("dnp3", _SESSION if is_listed else _UNKNOWN, f"link/{function}", name, unit)


class ConfirmFrame(Frame, gc=False):
    """The confirmation of an application fragment (4.2.2.4.3)."""

    @property
    def operation(self) -> Operation:
        """Part of the session."""
        return Operation("dnp3", _SESSION, "0", "Confirm", int.from_bytes(self.what[:RESPONSE_AT], "little"))

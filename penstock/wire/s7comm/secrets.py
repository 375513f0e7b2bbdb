"""Which bytes of an S7comm message must not go on record: passwords.

Pure.  The password of a controller (userdata group 5) and of a login to a numerical control (a PI service).  It stands
on the wire as good as in the clear, so whoever reads the record could use it.
"""

from __future__ import annotations

from typing import Final

from penstock.wire.s7comm.codes import PI_SERVICE, SECURITY, USERDATA
from penstock.wire.s7comm.userdata import KIND_AT, kind_of

_MARK: Final = 0x80
_ASSET_BIT: Final = 0x10
_NO_MARK: Final = 0x0F
_LOGIN: Final = b"_N_LOGIN_"
#: Transport head and the header of the PDU.
_HEAD_BYTES: Final = 17


def without_secrets(data: bytes, what: bytes) -> bytes:
    """`data`, with all behind the header overwritten where it holds a password."""
    if not what:
        return data
    if what[0] < _MARK:
        is_secret = what[4:5] == bytes((PI_SERVICE,)) and _LOGIN in what
    else:
        is_userdata = what[0] & _NO_MARK == USERDATA and not what[0] & _ASSET_BIT
        is_secret = is_userdata and len(what) > KIND_AT + 1 and kind_of(what[KIND_AT + 1])[1] == SECURITY
    return data[:_HEAD_BYTES] + b"*" * (len(data) - _HEAD_BYTES) if is_secret else data

"""Cards and modules that do not behave, with the module's answers given; a real module is in the journeys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from fake_gate import TestAuthority

from penstock.cli import login_card
from penstock.cli.keys import key_and_request
from penstock.model import Unavailable


class CardError(Exception):
    """What the module says."""


class DeviceRemoved(CardError):
    """The card is out."""


LIBRARY = SimpleNamespace(
    Attribute=SimpleNamespace(CLASS="class", VALUE="value", ID="id", LABEL="label"),
    ObjectClass=SimpleNamespace(CERTIFICATE="certificate"),
    exceptions=SimpleNamespace(PKCS11Error=CardError),
)


class Item(dict[str, Any]):
    """An object in a card; what it has not is the module's error."""

    def __missing__(self, key: str) -> Any:
        raise CardError(key)


def token(*items: Item, error: CardError | None = None) -> Any:
    @contextmanager
    def session() -> Iterator[Any]:
        if error is not None:
            raise error
        yield SimpleNamespace(get_objects=lambda _: iter(items))

    return SimpleNamespace(open=session, label="PIV")


def test_a_card_that_is_taken_out_meanwhile_is_said_so() -> None:
    with pytest.raises(Unavailable, match="the card failed: DeviceRemoved"):
        login_card._certificates(LIBRARY, token(error=DeviceRemoved()))


def test_an_object_that_is_no_whole_certificate_hides_no_other(authority: TestAuthority) -> None:
    der = login_card.x509.load_pem_x509_certificate(authority.sign_request(key_and_request()[1]).encode())
    whole = Item(value=der.public_bytes(login_card.Encoding.DER), id=b"\1", label="PIV AUTH")
    broken = [Item(id=b"\2", label="empty"), Item(value=b"nonsense", id=b"\3", label="x"), Item(value=whole["value"])]
    found = login_card._certificates(LIBRARY, token(*broken, whole))
    assert [(each.id, each.label) for each in found] == [(b"\1", "PIV AUTH")]

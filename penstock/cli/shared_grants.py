"""Grants that several programs of one profile use at a time: two ``penstock ssh`` to one machine, say.

The gate gives one sign-in one grant for one service, however often it is asked for.  So who is done with it must not
give it back while another program of this profile uses it: its flows would end.  The last one does.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Final, Protocol

from penstock.cli.answers import NotNow, OpenedGrant, Refusal
from penstock.cli.profile import Profile

#: A hung worker is found within two seconds, and its successor has the revision a second later.
TRIES: Final = 5
REST_S = 1.0


class Grantor(Protocol):
    """The gate, as far as grants are concerned."""

    def open_grant(self, asset: str, service: str | None) -> OpenedGrant | Refusal:
        """A grant, or why not."""

    def close_grant(self, number: int) -> None:
        """Give a grant back."""


class SharedGrants:
    """What this process has of the grants of its profile.

    Between asking and noting, and between looking and giving back, no other process of the profile does either.
    """

    def __init__(self, gate: Grantor, place: Profile) -> None:
        self._gate, self._place = gate, place

    def open_grant(self, asset: str, service: str | None) -> OpenedGrant | Refusal:
        """A grant, or why not; noted as this process's.

        A gate that cannot give one at this moment is asked again: its worker is back within seconds.
        """
        for _ in range(TRIES - 1):
            with suppress(NotNow):
                return self._open_grant(asset, service)
            time.sleep(REST_S)
        return self._open_grant(asset, service)

    def _open_grant(self, asset: str, service: str | None) -> OpenedGrant | Refusal:
        with self._place.grant_users() as users:
            answer = self._gate.open_grant(asset, service)
            if isinstance(answer, OpenedGrant):
                users[answer.grant] = users.get(answer.grant, frozenset()) | {os.getpid()}
        return answer

    def close_grant(self, number: int) -> None:
        """Give a grant back, unless another process uses it still."""
        with self._place.grant_users() as users:
            others = users.pop(number, frozenset()) - {os.getpid()}
            if others:
                users[number] = others
            else:
                self._gate.close_grant(number)

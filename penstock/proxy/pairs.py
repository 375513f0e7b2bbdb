"""What the flows between one client and one asset share, where one flow says what another one means.

Pure.  CIP opens connections over TCP and sends their data over UDP: the decoders of both flows have one table then.
It lives as long as any of these flows.  It must never be shared by two subjects, nor with another asset's flows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from penstock.model import Grant
from penstock.wire import NAMED, Between, Decoder

#: The protocol, the subject's kind and name, the asset, and the client's address.
_Pair: TypeAlias = tuple[str, str, str, str, str]


class Pairs:
    """Decoders for new flows.  As many pairs are kept as there are flows, at most."""

    def __init__(self) -> None:
        self._between: dict[_Pair, Between] = {}

    def __len__(self) -> int:
        return len(self._between)

    def decoder(self, grant: Grant, source: str) -> Decoder | None:
        """A decoder for a new flow of this grant from `source` (address:port), ``None`` where nothing reads it."""
        protocol = NAMED.get(grant.protocol)
        make = None if protocol is None else protocol.decoder(grant.transport)
        if protocol is None or make is None or protocol.between is None:
            return None if make is None else make()
        pair = _pair(grant, source)
        if pair not in self._between:
            self._between[pair] = protocol.between()
        between = self._between[pair]
        return between.streams() if grant.transport == "tcp" else between.datagrams()

    def keep(self, flows: Iterable[tuple[Grant, str]]) -> None:
        """Forget every pair that has none of these flows, each a grant and its source."""
        if self._between:
            live = {_pair(grant, source) for grant, source in flows}
            self._between = {pair: between for pair, between in self._between.items() if pair in live}


def _pair(grant: Grant, source: str) -> _Pair:
    subject = grant.subject
    return grant.protocol, subject.kind.value, subject.name, grant.asset, source.rpartition(":")[0]

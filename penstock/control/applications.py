"""I/O: a thread.  The gate's own certificate for OPC UA, made before a policy is in force that needs it.

It must never be made anew by itself: clients and servers were told to trust the one that there is.
"""

from __future__ import annotations

import asyncio
import hashlib

from penstock.control.ports import Clock, Recorder
from penstock.identity import Authority
from penstock.model import Json, Record, RecordKind
from penstock.policy import Policy


class Applications:
    """Keeps what workers need to end secured channels."""

    def __init__(self, authority: Authority, recorder: Recorder, clock: Clock) -> None:
        self._authority, self._recorder, self._clock = authority, recorder, clock

    async def prepare(self, policy: Policy) -> None:
        """Make key and certificate where the site lets the gate end channels and there are none yet.

        In a thread, for a key takes up to a second to find.  Its thumbprint, the SHA-1 that other applications show, is
        on record before it is used.  Raises `Tampered`, and `Unavailable` without evidence.
        """
        services = (service for asset in policy.site.assets for service in asset.services)
        if not any(service.server_certificate for service in services):
            return
        now_us = self._clock().wall_us
        made = await asyncio.to_thread(self._authority.make_application, now_us)
        if made is None:
            return
        thumbprint = hashlib.sha1(made, usedforsecurity=False).hexdigest()
        detail: dict[str, Json] = {"for": "opcua", "fingerprint": thumbprint}
        await self._recorder.write([Record(kind=RecordKind.CERTIFICATE_ISSUED, at_us=now_us, detail=detail)])
        self._authority.keep_application(made)

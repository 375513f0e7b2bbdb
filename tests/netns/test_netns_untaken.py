"""A command that an asset does not take in time is not sent on for minutes behind everybody's back."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from gate_plant import GATE, INSPECTED, MODBUS, Echo, eventually, grant

from penstock.lab.netns import Lan
from penstock.proxy.office import UNTAKEN_MS, Dial, dial_asset
from penstock.proxy.unmarked import dial_unmarked

PLC = "192.168.10.51"


@pytest.mark.parametrize("dial", [dial_asset, dial_unmarked])
def test_a_command_that_the_asset_did_not_take_is_thrown_away_also_when_its_sender_is_gone(dial: Dial) -> None:
    """The asset is out of reach for a while; client and worker have ended meanwhile, and their kernel goes on."""
    lan = Lan("lan")
    try:
        gate, plc = lan.add("gate", f"{GATE}/24"), lan.add("plc", f"{PLC}/24")
        echo = Echo(plc, PLC)
        with gate.entered():
            dialled = asyncio.run(_dialled(dial))
        dialled.setblocking(True)
        dialled.sendall(b"read")
        assert dialled.recv(100) == b"read"
        plc.run(["nft", "add table ip away; add chain ip away in { type filter hook input priority 0; policy drop; }"])
        dialled.sendall(b"stale")
        dialled.close()
        sent_at = time.monotonic()
        assert "FIN-WAIT" in gate.run(["ss", "-Htan"])
        eventually(lambda: "FIN-WAIT" not in gate.run(["ss", "-Htan"]), 15)
        assert time.monotonic() - sent_at > 0.8 * UNTAKEN_MS / 1000, "an asset that is only slow is given its time"
        plc.run(["nft", "delete", "table", "ip", "away"])
        assert echo.received == [b"read"]
    finally:
        lan.close()


async def _dialled(dial: Dial) -> socket.socket:
    return await dial(grant(42, overlay=INSPECTED), MODBUS)

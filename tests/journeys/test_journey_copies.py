"""A port of the kernel path whose packets are on record: through a whole gate, with its observer killed in between."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from works import Works

from penstock.lab.layout import SITE_PATH

PORT = 5020
CONDUIT = """\
  The historian reads the telemetry:
    from: {asset: historian-1}
    to: {asset: scada-1}
    allow: {tcp/5020: any}
    record: payload

tests:
"""


@pytest.fixture
def site_text() -> str:
    """The plant's site with a Modbus port at the SCADA server that nobody inspects."""
    there = '{zone: control-room, role: scada, address: 10.20.0.12, mac: "00:1d:9c:00:00:12"'
    text = SITE_PATH.read_text()
    assert there in text
    offered = f"{there}, services: {{telemetry: {{protocol: modbus, port: {PORT}}}}}"
    return text.replace(there, offered, 1).replace("tests:\n", CONDUIT, 1)


def echo(listener: socket.socket) -> None:
    """A server whose answers are what it was asked: the same exchange."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)


def poll(client: socket.socket, count: int) -> None:
    """Ask, and be answered, so often."""
    for number in range(count):
        data = struct.pack(">HHHBBHH", number, 0, 6, 1, 3, number, 2)
        client.sendall(data)
        assert client.recv(100) == data
        time.sleep(0.005)


def test_what_the_kernel_path_carries_is_kept_read_and_missed_on_record(works: Works, tmp_path: Path) -> None:
    """Packets in the store, operations in the evidence, and the time without an observer counted by the kernel."""
    listener = works.plant.nodes["scada-1"].listen(works.plant.address("scada-1"), PORT)
    threading.Thread(target=echo, args=(listener,), daemon=True).start()
    client = works.plant.nodes["historian-1"].connect(works.plant.overlay("scada-1"), PORT, timeout_s=5)
    poll(client, 30)
    gate, observer = works.gate, works.gate.pid("observer")
    assert observer is not None
    time.sleep(1)
    os.kill(observer, signal.SIGKILL)
    poll(client, 40)  # the supervisor takes 0.3 s to start the next one
    gate.wait(lambda: gate.pid("observer") not in (None, observer), "a new observer", 20)
    gate.wait(lambda: bool(works.gate.records("payload.lost")), "the loss on record", 20)
    time.sleep(1)
    poll(client, 30)
    client.close()
    (tmp_path / "plain.yaml").write_text(SITE_PATH.read_text())
    done = gate.command("revision", "apply", str(tmp_path / "plain.yaml"), station=works.plant.nodes["gate"])
    assert done.status == 0, done.said
    gate.wait(lambda: len(works.gate.records("payload.stored")) >= 2, "both files on record", 30)
    stored = works.gate.records("payload.stored")
    assert {(one["subject"], one["asset"]) for one in stored} == {("historian-1", "scada-1")}
    assert [one["detail"]["was_recovered"] for one in stored].count(True) == 1
    losses = [one["detail"] for one in works.gate.records("payload.lost")]
    counted = [loss for loss in losses if loss["count"]]
    assert sum(loss["count"] for loss in counted) >= 40
    assert any("no observer ran" in loss["why"] for loss in counted)

    def operations() -> list[dict[str, Any]]:
        return [one for one in works.gate.records("operations") if one["detail"].get("path") == "kernel"]

    gate.wait(lambda: sum(len(one["detail"]["rows"]) for one in operations()) >= 55, "the operations on record", 20)
    assert all(one["detail"]["is_enforced"] is False and one["asset"] == "scada-1" for one in operations())
    key = gate.evidence / "evidence.pub"
    gate.wait(
        lambda: (
            gate.command(
                "evidence", "verify", str(gate.evidence), "--key", str(key), station=works.plant.nodes["gate"]
            ).status
            == 0
        ),
        "the evidence to verify with its capture files",
        20,
    )
    out = tmp_path / "export.pcapng"
    done = gate.command(
        "evidence", "payload", "export", str(gate.evidence), "--output", str(out), station=works.plant.nodes["gate"]
    )
    assert done.status == 0, done.said
    said = subprocess.run(["capinfos", "-M", "-c", str(out)], capture_output=True, text=True, check=True).stdout
    assert int(said.split("Number of packets:")[1].split()[0]) == sum(one["detail"]["packets"] for one in stored)

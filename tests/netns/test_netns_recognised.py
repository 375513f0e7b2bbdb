"""Recognised protocols over UDP through the real kernel and a real worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gate_plant import INSPECTED, eventually
from inspecting import Inspecting, UdpAsset, UdpClient, ada_s

ASSET = "192.168.10.51"
SLMP_READ = bytes.fromhex("5000 00 ff ff03 00 0c00 1000 0104 0000 640000 a8 0100")
SLMP_STOP = bytes.fromhex("5000 00 ff ff03 00 0800 1000 0210 0000 0100")
SLMP_ANSWER = bytes.fromhex("d000 00 ff ff03 00 0400 0000 1234")
#: A request of DCE/RPC on the interface of devices, operation 5 (Read Implicit), without arguments.
PROFINET_READ = (
    bytes.fromhex("04 00 20 00 100000 00")
    + bytes(16)
    + bytes.fromhex("0100a0de976cd111827100a02442df7d")
    + bytes(28)
    + bytes.fromhex("0500 ffff ffff 0000 0000 0000")
)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Inspecting]:
    built = Inspecting(tmp_path)
    try:
        yield built
    finally:
        built.close()


def test_what_is_not_named_or_is_something_else_is_kept_back_and_the_rest_goes_on(plant: Inspecting) -> None:
    asset = UdpAsset(plant.plant.plc, ASSET, 5006, lambda _: SLMP_ANSWER)
    plant.worker.open(ada_s(42, "slmp", 5006))
    client = UdpClient(plant.plant.user, INSPECTED, 5006)
    assert client.ask(SLMP_READ) == SLMP_ANSWER
    assert client.ask(SLMP_STOP, 0.3) is None
    assert client.ask(b"GET / HTTP/1.1\r\n\r\n", 0.3) is None
    assert client.ask(SLMP_READ) == SLMP_ANSWER
    assert asset.received == [SLMP_READ] * 2
    eventually(lambda: len(plant.worker.records("operation.refused")) == 2)
    refused = [(each.protocol, each.operation, each.reason) for each in plant.worker.records("operation.refused")]
    assert refused == [("slmp", "slmp.execute", "operation_not_allowed"), ("slmp", None, "wrong_protocol")]


def test_profinet_s_context_manager_is_carried_and_its_operations_are_on_record(plant: Inspecting) -> None:
    asset = UdpAsset(plant.plant.plc, ASSET, 34964, lambda data: data[:1] + b"\x02" + data[2:])
    plant.worker.open(ada_s(42, "profinet", 34964))
    client = UdpClient(plant.plant.user, INSPECTED, 34964)
    assert client.ask(PROFINET_READ) == PROFINET_READ[:1] + b"\x02" + PROFINET_READ[2:]
    assert client.ask(SLMP_READ, 0.3) is None
    assert asset.received == [PROFINET_READ]
    eventually(lambda: plant.worker.records("operations"))
    (line,) = plant.worker.records("operations")[0].detail["operations"]
    assert (line["operation"], line["name"]) == ("profinet.read", "Read Implicit")

"""A simulated controller: ``python -m penstock.lab.plc filter|dosing``, a Modbus/TCP server over a moving process.

Stands where a PLC stands, and like one believes whoever reaches it.  It prints one JSON line when it listens and one
for each write request that arrives, so that a story can show what did and what did not reach the controller.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from penstock.lab.layout import MODBUS_PORT
from penstock.lab.process import PROCESSES, TABLE_SIZE, PlantProcess

UNIT = 1
STEP_S = 0.1
#: Modbus Application Protocol 1.1b3, section 6: 5, 6, 15, 16, 22, 23 change something.
WRITES = frozenset({5, 6, 15, 16, 22, 23})
#: Function codes that stand for the four tables in pymodbus' data store.
_COILS, _DISCRETE_INPUTS, _HOLDING, _INPUT = 1, 2, 3, 4


class Controller:
    """One process behind one Modbus server."""

    def __init__(self, process: PlantProcess, address: str, port: int, chance: random.Random) -> None:
        self._process, self._chance = process, chance
        self._server: Any = ModbusTcpServer(
            [_device()], address=(address, port), identity=_identity(process), trace_pdu=_print_writes
        )

    async def start(self) -> int:
        """Listen; returns the port."""
        await self._show()
        await self._server.serve_forever(background=True)
        return int(self._server.transport.sockets[0].getsockname()[1])

    async def run(self) -> None:
        """Let the process go on until cancelled."""
        try:
            while True:
                await asyncio.sleep(STEP_S)
                await self.step(STEP_S)
        finally:
            await self._server.shutdown()

    async def step(self, elapsed_s: float) -> None:
        """Take over what was written, go on, show the new values."""
        registers: list[Any] = await self._server.async_getValues(UNIT, _HOLDING, 0, TABLE_SIZE)
        coils: list[Any] = await self._server.async_getValues(UNIT, _COILS, 0, TABLE_SIZE)
        self._process.written({at: registers[at] for at in self._process.settings()}, coils)
        self._process.step(elapsed_s, self._chance.uniform(-1.0, 1.0))
        await self._show()

    async def _show(self) -> None:
        measured = self._process.measurements()
        for table in (_HOLDING, _INPUT):
            await self._server.async_setValues(UNIT, table, 0, [measured[at] for at in range(len(measured))])
        for at, value in self._process.settings().items():
            await self._server.async_setValues(UNIT, _HOLDING, at, [value])
        for table in (_COILS, _DISCRETE_INPUTS):
            await self._server.async_setValues(UNIT, table, 0, self._process.states())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one controller until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m penstock.lab.plc", description="a simulated controller")
    parser.add_argument("process", choices=sorted(PROCESSES))
    parser.add_argument("--address", default="127.0.0.1", help="0.0.0.0 only inside a network namespace")
    parser.add_argument("--port", type=int, default=MODBUS_PORT, help="0 takes any free one")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    return asyncio.run(_main(arguments))


async def _main(arguments: argparse.Namespace) -> int:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    chance = random.Random(arguments.seed)  # noqa: S311  noise of a measurement
    controller = Controller(PROCESSES[arguments.process](), arguments.address, arguments.port, chance)
    port = await controller.start()
    print(json.dumps({"ready": arguments.process, "port": port}), flush=True)
    with suppress(asyncio.CancelledError):
        await controller.run()
    return 0


def _device() -> SimDevice:
    def bits() -> list[SimData]:
        return [SimData(0, values=[False] * TABLE_SIZE, datatype=DataType.BITS)]

    def registers() -> list[SimData]:
        return [SimData(0, count=TABLE_SIZE, values=0, datatype=DataType.REGISTERS)]

    return SimDevice(UNIT, simdata=(bits(), bits(), registers(), registers()))


def _identity(process: PlantProcess) -> Any:
    """What the controller answers to function 43/14 (read device identification)."""
    make: Any = ModbusDeviceIdentification
    name = type(process).__name__.upper()
    return make(info_name={"VendorName": "Penstock lab", "ProductCode": name, "MajorMinorRevision": "1.0"})


def _print_writes(sending: bool, pdu: ModbusPDU) -> ModbusPDU:  # noqa: FBT001  pymodbus calls it so
    if not sending and pdu.function_code in WRITES:
        values = list(pdu.registers or pdu.bits or [])
        line = {"at": time.time(), "function": pdu.function_code, "address": pdu.address, "values": values}
        print(json.dumps(line), flush=True)
    return pdu


if __name__ == "__main__":
    sys.exit(main())

"""A controlled and a controlling station of c104 (lib60870-C; GPL, so a process of its own and never imported).

usage: iec104.py server|client ADDRESS PORT
The library reads the annotations of callbacks, so they must not be put off.
"""

import datetime as dt
import sys
import time
from collections.abc import Callable

import c104
from telling import connections, tell, until_told

STATION = 47
LEVEL, SET_POINT, OTHER = 11, 21, 22
WAIT_S, TRIES, COMMAND_MS = 3.0, 5, 1000


def carried_out(
    point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage
) -> c104.ResponseState:
    """Every command that arrives is carried out, and told."""
    del previous_info, message
    tell(written=[point.io_address, float(point.value)])
    return c104.ResponseState.SUCCESS


def set_clock(server: c104.Server, ip: str, date_time: dt.datetime) -> c104.ResponseState:
    """Nobody may."""
    del server, ip
    tell(clock=str(date_time))
    return c104.ResponseState.SUCCESS


def serve(address: str, port: int) -> None:
    """A measured value and two set points."""
    server = c104.Server(ip=address, port=port, tick_rate_ms=100)
    station = server.add_station(common_address=STATION)
    station.add_point(io_address=LEVEL, type=c104.Type.M_ME_NC_1).value = 42.5
    for at in (SET_POINT, OTHER):
        station.add_point(io_address=at, type=c104.Type.C_SE_NC_1).on_receive(callable=carried_out)
    server.on_clock_sync(callable=set_clock)
    server.start()
    tell(ready=True)
    until_told()
    server.stop()


heard: list[str] = []


def hear(connection: c104.Connection, data: bytes) -> None:
    """What the library says of a message that came."""
    del connection
    heard.append(c104.explain_bytes(apdu=data))


def sent(point: c104.Point, value: float) -> str:
    """Whether the library calls the command done, and its words for the answer that it heard.

    It now and then misses an answer that comes before it began to wait for it: then it says failed, and has heard it.
    """
    point.value = value
    del heard[:]
    return told_of(point.type.name, point.transmit(cause=c104.Cot.ACTIVATION))


def told_of(kind: str, is_done: bool) -> str:  # noqa: FBT001
    """Whether it was done, and the cause and the sign of the first answer of this type."""
    wait(lambda: any(kind in each for each in heard))
    answer = next((each for each in heard if kind in each), "| | no answer | ")
    _, _, cause, sign, *_ = answer.split(" | ")
    return f"{'done' if is_done else 'failed'}: {cause} {sign}"


def seen(point: c104.Point) -> float | None:
    """A value; the library misses an answer now and then that comes before it began to wait, and tells it late."""
    for _ in range(TRIES):
        if point.read():
            wait(lambda: point.value != 0.0)
            return float(point.value)
    return None


def wait(is_so: Callable[[], bool]) -> bool:
    """Whether it became so in time."""
    end = time.monotonic() + WAIT_S
    while not is_so() and time.monotonic() < end:
        time.sleep(0.01)
    return is_so()


def use(address: str, port: int) -> None:
    """What is allowed, then what is not, then what is allowed again, on one connection."""
    client = c104.Client(tick_rate_ms=100, command_timeout_ms=COMMAND_MS)
    connection = client.add_connection(ip=address, port=port, init=c104.Init.NONE)
    connection.on_receive_raw(callable=hear)
    station = connection.add_station(common_address=STATION)
    level = station.add_point(io_address=LEVEL, type=c104.Type.M_ME_NC_1)
    set_point = station.add_point(io_address=SET_POINT, type=c104.Type.C_SE_NC_1)
    other = station.add_point(io_address=OTHER, type=c104.Type.C_SE_NC_1)
    client.start()
    wait(lambda: connection.state in {c104.ConnectionState.OPEN, c104.ConnectionState.OPEN_MUTED})
    if connection.state == c104.ConnectionState.OPEN_MUTED:  # now and then the library forgets to start the transfer
        connection.unmute()
    if not wait(lambda: connection.state == c104.ConnectionState.OPEN):
        raise SystemExit("the link was not opened")
    before = connections(port)
    read = seen(level)
    written = sent(set_point, 12.5)
    refused = {"value": sent(set_point, 90.0), "object": sent(other, 1.0)}
    del heard[:]
    refused["operation"] = told_of("C_CS_NA_1", connection.clock_sync(common_address=STATION))
    again = seen(level)
    tell(read=read, written=written, refused=refused, again=again, before=before, after=connections(port))
    client.stop()


if __name__ == "__main__":
    {"server": serve, "client": use}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))

"""A controlled and a controlling station of c104 (lib60870-C), each a process of its own: GPL, so never imported.

python iec104_peer.py server PORT      runs until its standard input ends
python iec104_peer.py client PORT      prints what came of each thing that it did, as one JSON document
"""

import json
import sys
import time

import c104

STATION = 47
WAIT_S = 4.0


def carried_out(
    point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage
) -> c104.ResponseState:
    """Every command that arrives is carried out, and told."""
    del previous_info, message
    sys.stdout.write(f"{point.io_address}\n")
    sys.stdout.flush()
    return c104.ResponseState.SUCCESS


def serve(port: int) -> None:
    """Two measured values and three commands."""
    server = c104.Server(ip="127.0.0.1", port=port, tick_rate_ms=100)
    station = server.add_station(common_address=STATION)
    station.add_point(io_address=11, type=c104.Type.M_ME_NC_1).value = 3.5
    station.add_point(io_address=12, type=c104.Type.M_SP_NA_1).value = True
    for address, kind in ((20, c104.Type.C_SC_NA_1), (21, c104.Type.C_SE_NC_1), (22, c104.Type.C_DC_NA_1)):
        station.add_point(io_address=address, type=kind).on_receive(callable=carried_out)
    server.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


def ask(port: int) -> None:
    """Everything once, the refused things between the allowed ones."""
    client = c104.Client(tick_rate_ms=100)
    connection = client.add_connection(ip="127.0.0.1", port=port, init=c104.Init.NONE)
    station = connection.add_station(common_address=STATION)
    measured = station.add_point(io_address=11, type=c104.Type.M_ME_NC_1)
    switch = station.add_point(io_address=20, type=c104.Type.C_SC_NA_1)
    set_point = station.add_point(io_address=21, type=c104.Type.C_SE_NC_1)
    breaker = station.add_point(io_address=22, type=c104.Type.C_DC_NA_1)
    switch.value, set_point.value, breaker.value = True, 12.5, c104.Double.ON
    client.start()
    end = time.monotonic() + WAIT_S
    while connection.state != c104.ConnectionState.OPEN and time.monotonic() < end:
        time.sleep(0.05)
    if connection.state != c104.ConnectionState.OPEN:
        sys.stdout.write('{"open": false}\n')
        return
    act = c104.Cot.ACTIVATION
    done = {
        "open": True,
        "interrogation": connection.interrogation(common_address=STATION),
        "clock": connection.clock_sync(common_address=STATION),
        "switch": switch.transmit(cause=act),
        "clock again": connection.clock_sync(common_address=STATION),
        "set point": set_point.transmit(cause=act),
        "breaker": breaker.transmit(cause=act),
        "switch again": switch.transmit(cause=act),
        "counters": connection.counter_interrogation(common_address=STATION),
        "read": measured.read(),
        "value": float(measured.value),
        "interrogation again": connection.interrogation(common_address=STATION),
        "still connected": connection.is_connected,
    }
    sys.stdout.write(json.dumps(done) + "\n")
    client.stop()


if __name__ == "__main__":
    {"server": serve, "client": ask}[sys.argv[1]](int(sys.argv[2]))

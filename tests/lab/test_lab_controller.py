"""The simulated controller and the poller, with the real mbpoll as an independent Modbus client."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from penstock.lab.scada import Poller, PollFailed, Target, poll_once

HOST = "127.0.0.1"


@contextmanager
def controller(process: str, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    words = (sys.executable, "-m", "penstock.lab.plc", process, "--port", str(port))
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            yield program, json.loads(program.stdout.readline())["port"]
        finally:
            program.terminate()
            program.wait(10)


def mbpoll(port: int, *words: str, values: tuple[int, ...] = ()) -> dict[int, int]:
    command = ["mbpoll", "-m", "tcp", "-p", str(port), "-0", "-1", "-o", "5", *words, HOST, *map(str, values)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr
    return {int(at): int(value) for at, value in re.findall(r"^\[(\d+)\]:\s+(\d+)", done.stdout, re.MULTILINE)}


def target(port: int, **changes: Any) -> Target:
    return Target(address=HOST, port=port, **{"timeout_s": 5.0, **changes})


def test_mbpoll_reads_plausible_values_of_the_filter() -> None:
    with controller("filter") as (_, port):
        level, inlet, outlet, pressure, flow, _ = mbpoll(port, "-r", "0", "-c", "6").values()
        coils = mbpoll(port, "-t", "0", "-r", "0", "-c", "3")
    assert 1900 <= level <= 2100
    assert outlet / 1000 < inlet / 100
    assert 850 <= pressure <= 2600
    assert 1500 <= flow <= 1900
    assert coils == {0: 1, 1: 1, 2: 0}


def test_values_move() -> None:
    with controller("filter") as (_, port):
        poller = Poller(target(port))
        seen = {tuple(poller.poll())}
        while len(seen) < 3:
            seen.add(tuple(poller.poll()))
        poller.close()
    assert len(seen) == 3


def test_what_mbpoll_writes_is_followed_and_told_on_stdout() -> None:
    with controller("dosing") as (program, port):
        mbpoll(port, "-r", "11", values=(450,))
        assert program.stdout is not None
        told = json.loads(program.stdout.readline())
        assert (told["function"], told["address"], told["values"]) == (6, 11, [450])
        assert mbpoll(port, "-r", "11") == {11: 450}
        poller = Poller(target(port, count=1))
        while poller.poll()[0] <= 310:
            pass
        poller.close()


def test_measurements_are_also_input_registers_and_cannot_be_set() -> None:
    with controller("dosing") as (_, port):
        mbpoll(port, "-r", "1", values=(5,))
        poller = Poller(target(port, first=1, count=1))
        while poller.poll() == [5]:
            pass
        poller.close()
        assert mbpoll(port, "-t", "3", "-r", "1")[1] > 1000


def test_an_address_beyond_the_map_is_answered_with_exception_2() -> None:
    with controller("dosing") as (_, port):
        poller = Poller(target(port, first=100))
        with pytest.raises(PollFailed, match="exception 2"):
            poller.poll()
        poller.close()


def test_an_exception_does_not_cost_the_connection() -> None:
    with controller("dosing") as (_, port):
        poller = Poller(target(port, first=100))
        for _ in range(2):
            with pytest.raises(PollFailed, match="exception 2"):
                poller.poll()
            assert poller.is_connected
        poller.close()


def test_the_poller_dials_again_when_the_controller_is_back() -> None:
    with controller("dosing") as (_, port):
        poller = Poller(target(port))
        assert len(poller.poll()) == 4
    with pytest.raises(PollFailed):
        poller.poll()
    assert not poller.is_connected
    with controller("dosing", port):
        assert len(poller.poll()) == 4
    poller.close()


def test_a_controller_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.create_server((HOST, 0)) as listening:
        poller = Poller(target(listening.getsockname()[1], timeout_s=0.05))
        line = poll_once(poller, "plc-1", iter((1.0, 1.05)).__next__)
    assert {key: line[key] for key in ("target", "ok", "error", "latency_us")} == {
        "target": "plc-1",
        "ok": False,
        "error": "no answer in time",
        "latency_us": 50_000,
    }


def test_an_answer_to_another_request_is_no_answer() -> None:
    with socket.create_server((HOST, 0)) as listening:
        poller = Poller(target(listening.getsockname()[1]))
        waiting = socket.create_connection(listening.getsockname())
        served, _ = listening.accept()
        poller._connection = waiting
        served.sendall(bytes.fromhex("0063 0000 0003 01 03 00"))
        with pytest.raises(PollFailed, match="belongs to another request"):
            poller.poll()
        served.close()


def test_the_poller_prints_a_line_a_poll() -> None:
    with controller("dosing") as (_, port):
        words = (HOST, "--port", str(port), "--name", "plc-dosing", "--polls", "3", "--period-ms", "1")
        done = subprocess.run(
            [sys.executable, "-m", "penstock.lab.scada", *words, "--timeout-ms", "5000"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["target"], line["ok"], len(line["values"])) for line in lines] == [("plc-dosing", True, 4)] * 3

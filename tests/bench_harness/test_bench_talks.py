"""What the benchmark's clients and devices say is what their protocols mean, and the same in C as in Python."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from penstock.model import OperationClass
from penstock.wire import PROTOCOLS, Decoder, Role, Side

BENCH = Path(__file__).parents[2] / "bench"
#: More than any counter of one byte holds.
TURNS = 600


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


talks = load("talks")
NAMES = sorted(talks.TALKS)


def decoder_of(name: str) -> Decoder:
    protocol = next(each for each in PROTOCOLS if each.name == name)
    assert protocol.streams is not None
    return protocol.streams()


@pytest.mark.parametrize("name", NAMES)
def test_each_turn_is_one_read_and_its_answer(name: str) -> None:
    decoder, talk = decoder_of(name), talks.TALKS[name]()
    said = list(talk.turns(TURNS))
    for asked, answered in said[: len(talk.once)]:
        assert len(decoder.feed(Side.CLIENT, asked)) == 1
        assert len(decoder.feed(Side.ASSET, answered)) == 1
    for asked, answered in said[len(talk.once) :]:
        (request,) = decoder.feed(Side.CLIENT, asked)
        assert decoder.forward(request) == asked
        (reply,) = decoder.feed(Side.ASSET, answered)
        assert decoder.forward(reply) == answered
        assert (request.role, request.operation.classes) == (Role.REQUEST, (OperationClass.READ,))
        assert request.operation.targets
        assert (reply.role, reply.exchange, reply.is_refusal) == (Role.REPLY, request.exchange, False)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_value_is_asked_for_in_every_turn(name: str) -> None:
    decoder, talk = decoder_of(name), talks.TALKS[name]()
    asked = []
    for request, answer in talk.turns(TURNS):
        asked += decoder.feed(Side.CLIENT, request)
        decoder.feed(Side.ASSET, answer)
    assert len({frame.what for frame in asked[len(talk.once) :]}) == 1


@pytest.fixture(scope="module")
def respondent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler")
    path = tmp_path_factory.mktemp("bench") / "respondent"
    subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", path, BENCH / "respondent.c"], check=True)
    return path


def answers(respondent: Path, folder: Path, talk: str, said: list[bytes], wanted: int) -> bytes:
    """What the device answers, up to `wanted` bytes or to where it cuts."""
    (folder / "talk").write_text(talk)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    device = subprocess.Popen([respondent, str(port), folder / "talk"])
    try:
        with connected(port) as client:
            client.sendall(b"".join(said))
            got = b""
            while len(got) < wanted and (more := client.recv(65536)):
                got += more
            return got
    finally:
        device.kill()
        device.wait()


def connected(port: int) -> socket.socket:
    for _ in range(100_000):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except ConnectionRefusedError:
            continue
    raise AssertionError("the device does not listen")


@pytest.mark.parametrize("name", NAMES)
def test_the_device_answers_as_the_talk_says(name: str, respondent: Path, tmp_path: Path) -> None:
    talk = talks.TALKS[name]()
    said = list(talk.turns(TURNS))
    wanted = b"".join(answer for _, answer in said)
    assert answers(respondent, tmp_path, talk.text, [asked for asked, _ in said], len(wanted)) == wanted


def test_datagrams_are_answered_each_by_itself_and_only_what_is_exactly_right(respondent: Path, tmp_path: Path) -> None:
    talk = talks.DATAGRAMS["bacnet"]()
    (tmp_path / "talk").write_text(talk.text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    device = subprocess.Popen([respondent, str(port), tmp_path / "talk", "127.0.0.1"])
    said = list(talk.turns(TURNS))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect(("127.0.0.1", port))
            until_answered(client, *said[0])
            wrong = said[3][0][:-1] + b"\x1c"
            client.send(wrong)
            for asked, answer in (said[7], said[3], said[TURNS - 1]):
                client.send(asked)
                assert client.recv(2048) == answer
    finally:
        device.kill()
        device.wait()


def until_answered(client: socket.socket, asked: bytes, answer: bytes) -> None:
    for _ in range(100_000):
        try:
            client.send(asked)
            assert client.recv(2048) == answer
        except ConnectionRefusedError:
            continue
        return
    raise AssertionError("the device does not listen")


def test_bacnet_is_asked_for_the_same_value_and_answered_in_every_turn() -> None:
    decoder = next(each for each in PROTOCOLS if each.name == "bacnet").datagrams()
    for asked, answered in talks.DATAGRAMS["bacnet"]().turns(TURNS):
        (request,), (reply,) = decoder.feed(Side.CLIENT, asked), decoder.feed(Side.ASSET, answered)
        assert (request.operation.classes, request.exchange) == ((OperationClass.READ,), reply.exchange)


def test_the_device_cuts_who_says_anything_else(respondent: Path, tmp_path: Path) -> None:
    talk = talks.TALKS["modbus"]()
    (first, answer), (second, _) = talk.turns(2)
    wrong = second[:-1] + b"\x02"
    assert answers(respondent, tmp_path, talk.text, [first, wrong], len(answer) + 1) == answer

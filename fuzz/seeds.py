"""Seeds of a corpus: conversations of the real captures and of the tests, in the form that the fuzz targets read.

Made at run time, and never kept: the captures lie outside the repository.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fuzzing import bytes_of
from fuzzing_spoken import WRITTEN

from penstock.observe import Flows, packets_of
from penstock.wire import KNOWN, Known, Side, recognise

ROOT: Final = Path(__file__).parents[1]
VECTORS: Final = ROOT / "tests" / "wire"
CAPTURES: Final = Path(os.environ.get("PENSTOCK_CAPTURES", ROOT.parent / "shared" / "captures"))
#: How much of a flow one seed holds: a fuzzer is fast on short ones.
PACKETS: Final = 8
#: Seeds of one flow: its beginning, and further parts of it.
PARTS: Final = 12

#: The target that reads files.
CAPTURE: Final = "capture"

Talk = list[tuple[Side, bytes]]


def write_seeds(name: str, folder: Path, max_bytes: int) -> int:
    """Write the seeds of one target, each named by its digest; how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [path for path in sorted(CAPTURES.glob("*.pcap*")) if path.suffix in {".pcap", ".pcapng"}]
    if name == CAPTURE:
        seeds = {path.read_bytes()[:max_bytes] for path in paths}
    else:
        protocol = next(each for each in KNOWN if each.name == name)
        seeds = {bytes_of(part) for path in paths for part in parts(path, protocol)}
        seeds |= {bytes_of(part) for part in written(protocol)}
    for seed in seeds:
        (folder / hashlib.sha256(seed).hexdigest()[:24]).write_bytes(seed)
    return len(seeds)


def parts(path: Path, protocol: Known) -> Iterator[Talk]:
    """Some parts of each flow of a capture that speaks the protocol."""
    if path.suffix not in {".pcap", ".pcapng"}:
        return
    for talk in flows(path, protocol):
        for at in range(0, min(len(talk), PACKETS * PARTS), PACKETS):
            yield talk[at : at + PACKETS]


def written(protocol: Known) -> Iterator[Talk]:
    """The messages that the tests compare with tshark's decode, where they stand there whole: what no capture holds."""
    if protocol.name in WRITTEN:
        yield list(WRITTEN[protocol.name])
    path = VECTORS / f"{protocol.name}_vectors.json"
    vectors = json.loads(path.read_text()).get("vectors", []) if path.is_file() else []
    talk = [
        (Side(each["side"]), bytes.fromhex(each[key]))
        for each in vectors
        for key in ("data", "message", "frame")
        if "side" in each and key in each
    ]
    for at in range(0, len(talk), PACKETS):
        yield talk[at : at + PACKETS]


def flows(path: Path, protocol: Known) -> Iterator[Talk]:
    """What was said in each flow that is recognised as the protocol."""
    ports = frozenset((kind, int(port)) for each in KNOWN for kind, port in (text.split("/") for text in each.ports))
    reader, by_flow = Flows(ports), {}
    with path.open("rb") as file:
        for packet in packets_of(file.read):
            for arrival in reader.take(packet):
                talk = by_flow.setdefault(arrival.flow, [])
                talk += [(arrival.side, piece.data) for piece in arrival.pieces if piece.data]
    for flow, talk in by_flow.items():
        said = {side: b"".join(data for each, data in talk if each is side) for side in Side}
        candidates = [each for each in KNOWN if flow.carrier in each.dissectors]
        known = recognise(candidates, said[Side.CLIENT], said[Side.ASSET]) if talk else None
        if known is not None and known.protocol is protocol:
            yield talk

"""A writer that is killed again and again loses nothing that it acknowledged."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from evidence_fakes import KEY, open_log, verified
from test_evidence_log import indexes

WRITER = """
import itertools, sys, time
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from penstock.evidence import Log
from penstock.model import Record, RecordKind
folder, key, first = Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3])
def now_us():
    return time.time_ns() // 1000
key = Ed25519PrivateKey.from_private_bytes(key)
with Log.open(folder, key, "penstock.example/gate-1", now_us, segment_bytes=20_000, reserve_bytes=0) as log:
    for index in itertools.count(first, 3):
        log.append([Record(kind=RecordKind.FLOW_CLOSED, at_us=now_us(), detail={"index": index + i}) for i in range(3)])
        if index % 5 == 0:
            log.checkpoint()
        print(index + 2, flush=True)
"""


def test_no_acknowledged_record_is_lost_by_kill_9(tmp_path: Path) -> None:
    chance, acknowledged = random.Random(3), -1
    for _ in range(6):
        arguments = [str(tmp_path), KEY.private_bytes_raw().hex(), str(acknowledged + 1)]
        with subprocess.Popen([sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(5, 60)):
                acknowledged = int(process.stdout.readline())
            os.kill(process.pid, signal.SIGKILL)
            for line in process.stdout:
                if line.endswith(b"\n"):
                    acknowledged = int(line)
        report = verified(tmp_path)
        assert report.is_verified, report.findings
        found = [index for index in indexes(tmp_path) if isinstance(index, int)]
        assert found[: acknowledged + 1] == list(range(acknowledged + 1))
        acknowledged = found[-1]
        with max(tmp_path.glob("records-*.log")).open("ab") as file:
            file.write(chance.choice([b"", bytes(700), b"#frame 3 9", chance.randbytes(50)]))
        open_log(tmp_path).close()
    assert verified(tmp_path).is_verified
    assert acknowledged > 50

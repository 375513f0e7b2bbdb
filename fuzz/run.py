"""Fuzz what reads each protocol, and captures, each in a process of its own, for a bounded time; print a table.

    python fuzz/run.py [--seconds N | --runs N] [--at-once N] [--corpus FOLDER] [PROTOCOL ...]

A corpus grows in ``fuzz/corpus/PROTOCOL`` and is used again by the next run; findings lie in ``fuzz/found``.  Exits
non-zero where anything was found, and says how to repeat it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests" / "wire")]

from fuzzing_spoken import TARGETS
from seeds import write_seeds

#: One input may not take longer: inputs have at most `MAX_BYTES`, and decoding them takes milliseconds.
INPUT_SECONDS: Final = 10
MAX_BYTES: Final = 2048
MEMORY_MB: Final = 1024
_STATS: Final = {
    "inputs": re.compile(r"stat::number_of_executed_units: (\d+)"),
    "per second": re.compile(r"stat::average_exec_per_sec: +(\d+)"),
    "covered": re.compile(r"(?s:.*)cov: (\d+)"),
}


class Run(NamedTuple):
    """How one target ended."""

    name: str
    seeds: int
    code: int
    output: str
    found: list[Path]

    def stat(self, name: str) -> str:
        """One number of libFuzzer's, ``-`` where it did not come to that."""
        match = _STATS[name].search(self.output)
        return "-" if match is None else match[1]


def main() -> int:
    """Run the targets; the number of them in which something was found."""
    arguments = parsed()
    names = arguments.protocols or list(TARGETS)
    print(f"{'protocol':12} {'seeds':>6} {'inputs':>9} {'per second':>11} {'covered':>8}   result", flush=True)
    failed = 0
    with ThreadPoolExecutor(arguments.at_once) as pool:
        for run in pool.map(lambda name: one(name, arguments), names):
            is_fine = not run.code and not run.found
            failed += not is_fine
            stats = f"{run.stat('inputs'):>9} {run.stat('per second'):>11} {run.stat('covered'):>8}"
            print(f"{run.name:12} {run.seeds:6} {stats}   {'nothing found' if is_fine else 'FOUND'}", flush=True)
            if not is_fine:
                print(run.output[-4000:])
                for path in run.found:
                    print(f"repeat it: {sys.executable} {HERE / 'target.py'} {run.name} {path}")
    return failed


def parsed() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("protocols", nargs="*", choices=[[], *TARGETS])
    parser.add_argument("--seconds", type=int, default=60, help="for each protocol")
    parser.add_argument("--runs", type=int, help="inputs for each protocol, instead of a time")
    parser.add_argument("--at-once", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--corpus", type=Path, default=HERE / "corpus", help="where the corpora grow")
    return parser.parse_args()


def one(name: str, arguments: argparse.Namespace) -> Run:
    """One target, with seeds out of the captures that are removed again."""
    corpus, found = arguments.corpus / name, arguments.corpus.parent / "found"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    with tempfile.TemporaryDirectory() as folder:
        count = write_seeds(name, Path(folder), MAX_BYTES)
        bound = f"-runs={arguments.runs}" if arguments.runs else f"-max_total_time={arguments.seconds}"
        options = (
            f"-timeout={INPUT_SECONDS}",
            f"-max_len={MAX_BYTES}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={found}/{name}-",
            "-print_final_stats=1",
        )
        command = [sys.executable, HERE / "target.py", name, bound, *options, corpus, folder]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    fresh = sorted(path for path in set(found.iterdir()) - before if path.name.startswith(f"{name}-"))
    return Run(name, count, done.returncode, done.stdout + done.stderr, fresh)


if __name__ == "__main__":
    sys.exit(main())

"""One fuzz target: everything that reads one protocol, held to its contract by a fuzzer that sees what it covers.

    python fuzz/target.py PROTOCOL|capture [libFuzzer options] CORPUS...

A finding is written where ``-artifact_prefix`` says; the same command with that file instead of the corpus repeats it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests" / "wire")]
with atheris.instrument_imports(include=["penstock.wire", "penstock.observe"]):
    from fuzzing_spoken import TARGETS
from mending import MENDED


def main() -> None:
    """Fuzz until libFuzzer ends."""
    name = sys.argv.pop(1)
    target, mended = TARGETS[name], MENDED.get(name)

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        changed: bytes = atheris.Mutate(data, max_size)
        # One in eight stays broken where the protocol says so: what checks numbers and sums is to be covered as well.
        return changed if mended is None or seed % 8 == 0 else mended(changed)[:max_size]

    options = {} if mended is None else {"custom_mutator": change}
    atheris.Setup(sys.argv, target, **options)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

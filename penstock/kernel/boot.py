"""I/O: keeps on disk what the kernel must hold before any process of the gate runs: the last ruleset that was applied.

Stands between the enforcer and ``packaging/systemd/penstock-boot``, which loads it before the network is up, with nft
and ip alone.  Grants are not in it, and nobody counts as alive: safety-critical flows pass over the kernel path by the
table's own rules, everything else is refused.

It must never leave an older ruleset behind than the one that is in force: what cannot be written is removed, and the
next boot begins with everything closed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from penstock.kernel.apply import PARAMETERS, ROUTE_TABLE, RULE_PRIORITY
from penstock.kernel.render import render
from penstock.model import TPROXY_BIT, GatePlace, PenstockError, Ruleset

FOLDER = "boot"
TABLE_FILE = "table.nft"
#: The last line of a table that was written to its end.  An empty file would be a valid script that closes nothing.
END = "# end of the table"


def boot_files(ruleset: Ruleset, addresses: Iterable[str] = ()) -> dict[str, str]:
    """Name to text of every file, the table last.  `addresses` are the gate's own overlay addresses on its leg."""
    place = ruleset.place
    bit = f"{TPROXY_BIT:#x}/{TPROXY_BIT:#x}"
    return {
        "interface": f"{place.interface}\n",
        "parameters": _parameters(place, of_leg=False),
        "leg-parameters": _parameters(place, of_leg=True),
        "rule": f"rule add iif {place.interface} fwmark {bit} lookup {ROUTE_TABLE} priority {RULE_PRIORITY}\n",
        "route": f"route replace local default dev lo table {ROUTE_TABLE}\n",
        "addresses": "".join(f"{address}\n" for address in addresses),
        TABLE_FILE: f"{render(ruleset)}{END}\n",
    }


class BootFiles:
    """The folder, written in a thread of its own, in order: a slow disk keeps no packet and no command waiting."""

    def __init__(self, folder: Path, failed: Callable[[str], None]) -> None:
        """`failed` is told, in that thread, why something could not be kept."""
        self._folder, self._failed = folder, failed
        self._writing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="boot")

    def close(self) -> None:
        """Wait for what is being written."""
        self._writing.shutdown()

    def keep(self, ruleset: Ruleset, addresses: Iterable[str] = ()) -> None:
        """From soon on a boot begins with this ruleset; with everything closed where it cannot be written."""
        self._writing.submit(self._write, ruleset, tuple(addresses))

    def _write(self, ruleset: Ruleset, addresses: tuple[str, ...]) -> None:
        try:
            files = boot_files(ruleset, addresses)  # here, for thousands of standing flows take a tenth of a second
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, text in files.items():
                write_durably(self._folder / name, text)
        except (OSError, PenstockError) as error:
            self._failed(f"the ruleset cannot be kept for the next boot, which begins with {self._begins()}: {error}")

    def _begins(self) -> str:
        """Take the older table away; what the next boot begins with then."""
        try:
            (self._folder / TABLE_FILE).unlink(missing_ok=True)
            if self._folder.is_dir():
                _sync(self._folder)
        except OSError:
            return "an older one, which cannot be removed"
        return "everything closed"


def write_durably(path: Path, text: str) -> None:
    """Replace a file, readable by its owner alone; whenever the power fails there is the old text or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parameters(place: GatePlace, *, of_leg: bool) -> str:
    """Names below /proc/sys and values; those of the leg can be set only once it is there."""
    chosen = ((name, value) for name, (value, _) in PARAMETERS.items() if ("{leg}" in name) is of_leg)
    return "".join(f"{name.format(leg=place.interface)} {value}\n" for name, value in chosen)

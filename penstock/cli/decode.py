"""``penstock decode``: what a capture file says: the protocols in it, and every operation with its object.

Works offline and passively, on pcap and pcapng.  It keeps one packet at a time, however large the file is.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Final

from penstock.cli import output
from penstock.model import Invalid, Problem
from penstock.observe import HEADINGS, LINK_TYPES, CaptureFileError, Dissection, Seen, line_of, packets_of, rows_of
from penstock.wire import KNOWN

DONE: Final = 0
#: From this size on a person waits long enough to be told how far it is.
PROGRESS_BYTES: Final = 4 << 20
_BAR_CELLS: Final = 40
_TELL_EVERY: Final = 1024
_HUNDRED: Final = 100
_GZIP: Final = b"\x1f\x8b"
_BUFFER_BYTES: Final = 1 << 20
#: As wide as most cells are: a table that is printed while it is read cannot know the widest.
_WIDTHS: Final = (7, 13, 21, 21, 16, 19, 36, 0)
#: One line of JSON, as the reference writes it; made once, for making it takes as long as a line.
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``decode``."""
    verb = verbs.add_parser("decode", help="show what a capture file says, operation by operation")
    verb.add_argument("file", metavar="FILE", help="a pcap or pcapng file, also with gzip; - reads standard input")
    verb.add_argument("--json", action="store_true", help="one JSON document a line, one line a packet")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print everything that the capture says."""
    try:
        with _opened(args.file) as file:
            return _decode(file, args.file, is_json=args.json)
    except BrokenPipeError:
        raise  # whoever read the output has gone; that is no fault of the file
    except OSError as error:
        raise Invalid(Problem(where=args.file, why=f"cannot be read: {error.strerror or error}")) from error


def _opened(name: str) -> BinaryIO:
    if name == "-":
        if sys.stdin is None:  # whoever started us has closed it
            raise Invalid(Problem(where="standard input", why="is closed"))
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb", _BUFFER_BYTES)
    return Path(name).open("rb", _BUFFER_BYTES)


def _decode(file: BinaryIO, name: str, *, is_json: bool) -> int:
    progress = _Progress(_size(file))
    rows = _Rows(progress, is_json=is_json)
    dissection = Dissection(KNOWN)
    unread: Counter[int] = Counter()
    try:
        for packet in packets_of(_reader(file)):
            if not packet.number % _TELL_EVERY:
                progress.tell(file)
            unread[packet.link] += packet.link not in LINK_TYPES
            rows.write(dissection.take(packet), packet.at_ns)
    except CaptureFileError as error:
        rows.write(dissection.end(), 0)
        _complain_of(name, error)
    except (EOFError, zlib.error) as error:
        rows.write(dissection.end(), 0)
        raise Invalid(Problem(where=name, why=f"the compressed file is broken: {error}")) from error
    else:
        rows.write(dissection.end(), 0)
    finally:
        progress.end()
        rows.end()
    _tell_unread(unread)
    return DONE


class _Rows:
    """What is seen, printed; its times count from the first packet."""

    def __init__(self, progress: _Progress, *, is_json: bool) -> None:
        self._progress, self._is_json = progress, is_json
        self._first_ns: int | None = None
        if not is_json:
            self._put(_row(HEADINGS))

    def write(self, found: Iterable[Seen], at_ns: int) -> None:
        """Print what a packet of this time has shown."""
        first_ns = self._first_ns = at_ns if self._first_ns is None else self._first_ns
        for seen in found:
            self._progress.make_room()
            if self._is_json:
                self._put(_encode(line_of(seen, first_ns)) + "\n")
            else:
                self._put("".join(map(_row, rows_of(seen, first_ns))))

    def end(self) -> None:
        """Bring everything out."""
        self._put("", is_last=True)

    def _put(self, text: str, *, is_last: bool = False) -> None:
        try:
            sys.stdout.write(text)
            if is_last:
                sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:  # a full disk is no fault of the capture
            raise Invalid(Problem(where="standard output", why=f"cannot be written: {error.strerror}")) from error


def _reader(file: BinaryIO) -> Callable[[int], bytes]:
    """What gives the file's bytes, without the compression around them."""
    if isinstance(file, io.BufferedReader) and file.peek(len(_GZIP))[: len(_GZIP)] == _GZIP:
        return io.BufferedReader(gzip.GzipFile(fileobj=file), _BUFFER_BYTES).read
    return file.read


def _complain_of(name: str, error: CaptureFileError) -> None:
    if error.packets:
        why, hint = f"{error.why}, behind {error.packets} whole packets", "what was whole is shown above"
    else:
        why, hint = (
            f"is no capture file: {error.why}",
            "pcap and pcapng are read, as tcpdump, dumpcap and Wireshark write",
        )
    raise Invalid(Problem(where=name, why=why, hint=hint)) from error


def _tell_unread(unread: Counter[int]) -> None:
    for link, count in unread.items():
        if count:
            output.say(f"{count} packets of link type {link} are not read")
            output.hint("the numbers of link types: https://www.tcpdump.org/linktypes.html")


def _row(cells: tuple[str, ...]) -> str:
    line = "  ".join(output.plain(cell).ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    return line.rstrip() + "\n"


def _size(file: BinaryIO) -> int:
    """Bytes of a file, 0 where nobody knows (a pipe)."""
    return os.fstat(file.fileno()).st_size


class _Progress:
    """A bar on stderr, for large files and only where a person looks; rows on the same terminal never run into it."""

    def __init__(self, total_bytes: int) -> None:
        self._total = total_bytes if total_bytes >= PROGRESS_BYTES and sys.stderr.isatty() else 0
        self._told = -1
        self._is_shown = False
        self._shares_terminal = sys.stdout.isatty()

    def tell(self, file: BinaryIO) -> None:
        """Draw the bar anew when it has grown."""
        if not self._total:
            return
        percent = min(_HUNDRED, file.tell() * _HUNDRED // self._total)
        if percent == self._told:
            return
        self._told = percent
        cells = percent * _BAR_CELLS // _HUNDRED
        print(f"\r[{'#' * cells}{' ' * (_BAR_CELLS - cells)}] {percent:3} %", end="", file=sys.stderr, flush=True)
        self._is_shown = True

    def make_room(self) -> None:
        """Take the bar away for a row, where both go to one terminal."""
        if self._is_shown and self._shares_terminal:
            self.end()

    def end(self) -> None:
        """Take it away for good."""
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_shown = False

"""The numbers of a link: what each side has sent, has acknowledged, and is told, while the gate drops and adds frames.

Pure.  IEC 60870-5-104, 5.1: every frame of the I format carries the number of itself, N(S), and of the frame that its
sender expects next, N(R); numbers run from 0 to 32,767 and on from 0.  A gate that keeps a frame back, or says one of
its own, makes the numbers of the two ends differ by a `shift`.  Nothing else of a frame is changed, ever.

A `Way` are the frames of one side on their way to the other.  "Sender" is who numbers them, "receiver" who
acknowledges them, each in numbers of its own.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import Final

from penstock.model import Malformed

LAST_NUMBER: Final = 0x7FFF
UNKNOWN: Final = -1
#: -104, 9.6: at most k = 12 frames wait for an acknowledgement, as the standard proposes; the gate's own keep to it.
MAX_OWN: Final = 12
#: Changes of the shift that no acknowledgement has passed.  Real links have at most k of them under way.
MAX_MARKS: Final = 1024
#: What was acknowledged before the gate came may lie this far behind.
_HALF: Final = 0x4000

control = Struct("<HH")


class Way:
    """The numbered frames of one side on their way to the other."""

    __slots__ = ("acked", "base", "expected", "heard", "is_guessed", "marks", "next", "own", "shift", "told")

    def __init__(self) -> None:
        #: As the frames come in: the sender's next number, and the receiver's last acknowledgement.
        self.expected = self.heard = UNKNOWN
        #: As they go out: the receiver's next number, its last acknowledgement, and what of it the sender was told.
        self.next = self.acked = self.told = UNKNOWN
        self.is_guessed = False
        #: Number at the receiver less number at the sender, for the frames of now, and for the acknowledged ones.
        self.shift = self.base = 0
        #: From which number at the receiver on which shift counts, and whether the gate's own frame is in front of it.
        self.marks: deque[tuple[int, int, bool]] = deque()
        #: Frames of the gate that the receiver has not acknowledged.
        self.own = 0

    def came(self, number: int) -> None:
        """The sender's frame `number` came in.  Raises `Malformed` when it is not the next one."""
        if number != self.expected:
            self._check_first(number)
        if self.marks and len(self.marks) > MAX_MARKS:
            raise Malformed(f"more than {MAX_MARKS} frames wait for an acknowledgement (-104, 9.6)")
        self.expected = number + 1 & LAST_NUMBER

    def _check_first(self, number: int) -> None:
        if self.expected != UNKNOWN:
            raise Malformed(f"frame {number} came where {self.expected} was due (-104, 5.1)")

    def hear(self, number: int) -> None:
        """The receiver's acknowledgement came in.  Raises `Malformed` when it is of less than the one before."""
        if self.heard != UNKNOWN and (number - self.heard & LAST_NUMBER) >= _HALF:
            raise Malformed(f"an acknowledgement goes back from {self.heard} to {number} (-104, 5.1)")
        self.heard = number

    def acknowledge(self, number: int) -> bool:
        """Take note of an acknowledgement of the receiver; false where it is of what was never sent.

        An older one than the last (its frame was overtaken while it was held) says nothing new.
        """
        before = self.acked
        if number == before:
            return True
        if before == UNKNOWN or self.is_guessed:
            if before == UNKNOWN or (before - number & LAST_NUMBER) < _HALF:
                self.told = UNKNOWN if number else 0
                self.acked, self.is_guessed = number, False
                return True
            self.is_guessed = False
        ahead = number - before & LAST_NUMBER
        if ahead > (self.next - before & LAST_NUMBER if self.next != UNKNOWN else _HALF):
            return (before - number & LAST_NUMBER) < _HALF
        self.acked = number
        marks = self.marks
        while marks and (marks[0][0] - before & LAST_NUMBER) <= ahead:
            _, self.base, is_own = marks.popleft()
            self.own -= is_own
        return True

    @property
    def owed(self) -> int:
        """What the sender may be told: up to where its frames are acknowledged or were kept back.

        It is never less than what it was told before.
        """
        number = self.acked - self.base & LAST_NUMBER if self.acked != UNKNOWN else 0
        told = self.told
        return number if told in {number, UNKNOWN} or (told - number & LAST_NUMBER) >= _HALF else told

    @property
    def is_owing(self) -> bool:
        """Whether the sender has not been told of all that was acknowledged."""
        return self.acked != UNKNOWN and self.owed != self.told

    def tell(self) -> int:
        """What the sender is told now."""
        number = self.acked - self.base & LAST_NUMBER if self.acked != UNKNOWN else 0
        if number != self.told:
            self.told = number = self.owed
        return number

    def tell_of(self, number: int) -> int:
        """The sender is told that its frame `number`, and so all before it, arrived at the gate; what it is told."""
        if self.acked == UNKNOWN:
            self._guess(number)
        if (number + 1 - self.told & LAST_NUMBER) < _HALF:
            self.told = number + 1 & LAST_NUMBER
        return self.told

    def carry(self, number: int) -> int:
        """The sender's frame `number` goes on; its number at the receiver."""
        number = number + self.shift & LAST_NUMBER
        self.next = number + 1 & LAST_NUMBER
        if self.acked == UNKNOWN:
            self._guess(number)
        return number

    def drop(self, number: int) -> None:
        """The sender's frame `number` is kept back: the next one takes its number at the receiver."""
        self.next = number = number + self.shift & LAST_NUMBER
        if self.acked == UNKNOWN:
            self._guess(number)
        self.shift = self.shift - 1 & LAST_NUMBER
        self._mark(number, is_own=False)

    def add(self) -> int:
        """The gate says a frame of its own to the receiver; its number there."""
        number = self.next if self.next != UNKNOWN else max(self.acked, 0)
        if self.acked == UNKNOWN:
            self._guess(number)
        self.next = number + 1 & LAST_NUMBER
        self.shift = self.shift + 1 & LAST_NUMBER
        self.own += 1
        self._mark(self.next, is_own=True)
        return number

    def _guess(self, number: int) -> None:
        """Before the first acknowledgement: all in front of the first frame counts as acknowledged.

        In a link that the gate sees from its beginning that is so, for its first frame is 0.
        """
        self.acked, self.is_guessed = number, True
        self.told = number - self.base & LAST_NUMBER

    def _mark(self, number: int, *, is_own: bool) -> None:
        """From `number` on (at the receiver) the shift is what it is now."""
        if number == self.acked:
            self.base = self.shift
        elif self.marks and self.marks[-1][0] == number:
            self.marks[-1] = number, self.shift, is_own or self.marks[-1][2]
        else:
            self.marks.append((number, self.shift, is_own))

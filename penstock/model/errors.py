"""The errors of Penstock: the whole tree, and what each one asks of its catcher.

::

    PenstockError
    ├── Malformed         a peer broke its protocol          close the flow, record it
    ├── Invalid           an operator's document or request  exit 2, HTTP 422; every problem at once
    ├── Unauthenticated   nobody proved who this is          HTTP 401
    ├── Unavailable       a dependency is silent             keep the last good revision, mint nothing; HTTP 503
    └── Tampered          evidence does not verify           mint nothing, raise the alarm

Anything else that is raised is a bug.  A denial is not an error: it is a `Decision`.
"""

from __future__ import annotations

from dataclasses import dataclass


class PenstockError(Exception):
    """Whatever Penstock raises on purpose."""


class Malformed(PenstockError):
    """A peer sent bytes that its protocol does not allow.  The text names the rule that was broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with an operator's document or request.

    `where` names the place (``site.yaml:12:5`` or a field), `why` what is wrong there, `hint` what to do next.
    """

    where: str
    why: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.why}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class Invalid(PenstockError):
    """An operator's document or request cannot be accepted; `problems` holds every reason at once."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Unauthenticated(PenstockError):
    """Nobody proved who this is.  The text never says which part of the proof was wrong."""


class Unavailable(PenstockError):
    """A dependency did not answer.  Keep the last good revision and mint nothing."""


class Tampered(PenstockError):
    """Evidence does not verify.  Mint nothing and raise the alarm."""

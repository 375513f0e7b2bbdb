"""HTTP to one gate about held operations: what waits for a second person, and what that person says.

Stands between the verbs of `held` and the gate.
"""

from __future__ import annotations

from typing import Any

from penstock.cli.client import ADMIN_TIMEOUT_S, Gate, quoted
from penstock.model import Json, Unauthenticated

_UNAUTHENTICATED = 401
#: RFC 9470 section 3: the sign-in is good, its proof is not good enough for this.
_STEP_UP = "insufficient_user_authentication"


class HeldGate(Gate):
    """The part of a gate's API that held operations are in.  Raises as `Gate` does."""

    def waiting(self) -> dict[str, Json]:
        """What waits and what ended lately, as far as it concerns whoever is signed in."""
        return self._answer(dict[str, Any], "GET", "/api/held")

    def one(self, hold: str) -> dict[str, Json]:
        """One of them, with every object and the exact bytes."""
        return self._answer(dict[str, Any], "GET", f"/api/held/{quoted(hold)}")

    def decide(self, hold: str, verb: str, why: str) -> dict[str, Json]:
        """``approve`` or ``refuse``, and what became of it; waits for the evidence, the worker and the outcome."""
        path = f"/api/held/{quoted(hold)}/{verb}"
        response = self._ask("POST", path, {"why": why}, timeout_s=ADMIN_TIMEOUT_S)
        is_old = _STEP_UP in response.headers.get("WWW-Authenticate", "")
        if response.status_code == _UNAUTHENTICATED and is_old:
            old = Unauthenticated("your last proof of who you are is too old to approve with")
            old.add_note("penstock login --again takes a fresh one; what is open goes on")
            raise old
        self._expect_done(response)
        answer: dict[str, Json] = response.json()
        return answer

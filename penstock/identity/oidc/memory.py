"""What is remembered of a sign-in so that the provider can be asked again; kept sealed by whoever keeps it.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from penstock.identity.oidc.tables import read_table, text_in
from penstock.model import Malformed

#: Refresh and access tokens beyond that are not kept.
MAX_SECRET = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A refresh token; where the provider gives none, the access token for as long as it lasts."""

    refresh: str | None
    access: str | None = None

    def __repr__(self) -> str:
        """Without the tokens."""
        return "Remembered()"

    @property
    def text(self) -> str:
        """As it is kept: one of the two at most."""
        kept = {"refresh": self.refresh} if self.refresh is not None else {"access": self.access or ""}
        return msgspec.json.encode(kept).decode()


def remembered(text: str) -> Remembered:
    """The same again; what cannot be read is nothing."""
    try:
        table = read_table(text.encode(errors="replace"))
        return Remembered(
            refresh=text_in(table, "refresh", MAX_SECRET), access=text_in(table, "access", MAX_SECRET) or None
        )
    except Malformed:
        return Remembered(refresh=None)

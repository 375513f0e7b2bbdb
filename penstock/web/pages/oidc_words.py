"""What a page says when nothing came of a detour to an identity provider: what happened, and what to do now.

It must never say more of a proof than whoever brought it could know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from penstock.control import Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A status, a heading, and what to do.  ``{provider}`` stands for what the sign-in page calls the provider."""

    status: int
    title: str
    text: str

    def about(self, provider: str) -> Words:
        """The same about this provider."""
        title, text = (each.replace("{provider}", provider) for each in (self.title, self.text))
        return replace(self, title=title, text=text)


WORDS: Mapping[Trouble, Words] = {
    Trouble.NOT_BEGUN: Words(
        status=400,
        title="This sign-in was not begun here",
        text="It was begun in another browser, more than ten minutes ago, or was finished already. "
        "Begin again in this browser, and go through it without the back button.",
    ),
    Trouble.REFUSED_THERE: Words(
        status=401,
        title="{provider} did not sign you in",
        text="It gave no reason that this gate may repeat. Try again; if it goes on, ask whoever runs it.",
    ),
    Trouble.TOO_WEAK: Words(
        status=403,
        title="A stronger sign-in is needed",
        text="You signed in with fewer factors than were asked for. "
        "Register a second factor or a passkey with {provider}, then try again.",
    ),
    Trouble.TOO_OLD: Words(
        status=401,
        title="Your sign-in there is too old",
        text="{provider} remembered you from earlier and did not ask again. Sign out there, then try again here.",
    ),
    Trouble.CLOCKS: Words(
        status=401,
        title="The sign-in is out of time",
        text="The clocks of this gate and of {provider} seem to differ. Tell your gate administrator.",
    ),
    Trouble.NAME: Words(
        status=403,
        title="Your name cannot be used here",
        text="{provider} calls you by a name that this gate cannot use. Tell your gate administrator.",
    ),
    Trouble.NOT_BELIEVED: Words(
        status=401,
        title="The answer of {provider} cannot be believed",
        text="Nothing was opened. Tell your gate administrator: what was wrong is in the evidence.",
    ),
    Trouble.SILENT: Words(
        status=503,
        title="{provider} does not answer",
        text="Try again in a minute. What you have open goes on. "
        "In an emergency, sign in with an account of this gate, if you have one.",
    ),
    Trouble.NOT_ADMITTED: Words(
        status=403,
        title="You are not admitted here",
        text="{provider} knows you, but this gate does not let you in now. Ask your gate administrator.",
    ),
    Trouble.OTHER_PROOF: Words(
        status=403,
        title="The new proof was not taken",
        text="It was somebody else's, or weaker than the one that you have. "
        "Your sign-in goes on as it was. To change over, sign out first.",
    ),
}

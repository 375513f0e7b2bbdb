"""The notice of a site, accepted on the terminal before anybody signs in there.

Whoever signs in in a browser accepts it there.
"""

from __future__ import annotations

import argparse

from penstock.cli import output
from penstock.cli.client import Gate
from penstock.model import Invalid, Problem, Unauthenticated


def add_argument(parser: argparse.ArgumentParser) -> None:
    """``--accept-notice``, for scripts."""
    parser.add_argument(
        "--accept-notice", action="store_true", help="you have read the site's notice and accept it; for scripts"
    )


def accepted(http: Gate, arguments: argparse.Namespace) -> str | None:
    """The digest of the notice that was shown and accepted; ``None`` where the site has none.

    Raises `Unauthenticated` where it is declined, `Invalid` where there is nobody to ask.
    """
    notice = http.about().notice
    if notice is None:
        return None
    output.say(notice.title)
    output.say("")
    for line in notice.text.splitlines():
        output.say(f"  {line}".rstrip())
    output.say("")
    if arguments.accept_notice:
        output.say("accepted by --accept-notice")
    elif not output.is_interactive() or arguments.password_stdin:
        hint = "read it, and add --accept-notice"
        raise Invalid(Problem(where="notice", why="the site asks for its notice to be accepted", hint=hint))
    elif not output.confirm("have you read this, and do you accept it?"):
        raise Unauthenticated("the notice was not accepted, and nothing was sent to the gate")
    return notice.sha256

"""Smart cards (PIV, CAC) as an identity source."""

from penstock.identity.card.cards import MAX_SENT, CardSource
from penstock.identity.card.checks import authorities_of
from penstock.identity.card.fetching import Outside
from penstock.identity.card.revocations import Revocations
from penstock.identity.card.signed import RANDOM_BYTES, Challenges, check_signature, message
from penstock.identity.card.unfit import CardRefused, Unfit, subject_text

__all__ = [
    "MAX_SENT",
    "RANDOM_BYTES",
    "CardRefused",
    "CardSource",
    "Challenges",
    "Outside",
    "Revocations",
    "Unfit",
    "authorities_of",
    "check_signature",
    "message",
    "subject_text",
]

"""Smart cards (PIV, CAC) as an identity source."""

from penstock.identity.card.cards import MAX_SENT, CardSource
from penstock.identity.card.fetching import Outside
from penstock.identity.card.handshake import refused_certificate, sent_certificate
from penstock.identity.card.revocations import Revocations
from penstock.identity.card.signed import RANDOM_BYTES, CardChallenges, SignedChallenge, card_message
from penstock.identity.card.unfit import CardRefused, Unfit

__all__ = [
    "MAX_SENT",
    "RANDOM_BYTES",
    "CardChallenges",
    "CardRefused",
    "CardSource",
    "Outside",
    "Revocations",
    "SignedChallenge",
    "Unfit",
    "card_message",
    "refused_certificate",
    "sent_certificate",
]

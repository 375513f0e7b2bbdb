"""Smart cards as an identity source: a certificate, whose key was just used, becomes a proof.

Stands on `checks` (whose card may it be), `holder` (who is that) and `Revocations` (does it still hold).  Who calls it
has seen the key at work, in a TLS handshake or by a signature.  It must never vouch for a card that is revoked, nor,
where nothing is known, for more than the site tolerates.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from penstock.identity.card import checks, reading
from penstock.identity.card.checks import Chain
from penstock.identity.card.holder import Holder, holder_of
from penstock.identity.card.revocations import Revocations
from penstock.identity.card.standing import Standing, barred_zones, counts_somewhere
from penstock.identity.card.unfit import CardRefused, Unfit, plain, subject_text
from penstock.identity.source import Membership, Proof
from penstock.model import CardPlan, Factor, Reason, Unavailable

#: Of what a card sends with its certificate.
MAX_SENT = 8


class CardSource:
    """One smart card source of the site document."""

    def __init__(self, plan: CardPlan, revocations: Revocations) -> None:
        self.plan, self._revocations = plan, revocations

    async def prove(self, leaf_der: bytes, sent_der: Sequence[bytes], now_us: int) -> Proof | CardRefused:
        """The proof of whoever holds the card with this certificate (DER), sent with these of its issuers."""
        shown = "(a certificate that cannot be read)"
        try:
            leaf = reading.load(leaf_der)
            shown = subject_text(leaf)
            chain = checks.check_card(self.plan, leaf, _loaded(sent_der), now_us)
            holder = holder_of(self.plan, chain)
            standing = await self._standing(chain, now_us)
        except Unfit as error:
            return CardRefused(why=str(error), shown=shown, reason=error.reason, is_foreign=error.is_foreign)
        return self._proof(chain, holder, standing, now_us)

    async def membership(self, key: str, memory: str, now_us: int) -> Membership | None:
        """Whether the card of a sign-in still holds, by everything that is known now; ``None``: it does not.

        Raises `Unavailable` where nothing vouches for it any more and the site tolerates that nowhere.
        """
        try:
            leaf, *sent = x509.load_pem_x509_certificates(memory.encode())
        except reading.UNREADABLE:
            return None
        try:
            chain = checks.check_card(self.plan, leaf, sent, now_us)
            holder = holder_of(self.plan, chain)
            standing = await self._standing(chain, now_us)
        except Unfit as error:
            if error.reason is Reason.REVOCATION_UNKNOWN:
                raise Unavailable(str(error)) from None
            return None
        if holder.key != key:
            return None
        return Membership(groups=holder.groups, memory=memory, barred_zones=barred_zones(self.plan, standing, now_us))

    async def warnings(self, now_us: int) -> tuple[str, ...]:
        """What an administrator should see to before it bars anybody."""
        return await self._revocations.warnings(self.plan, now_us)

    async def _standing(self, chain: Chain, now_us: int) -> Standing:
        """What is known of the card.  Raises `Unfit` where it is revoked, or counts nowhere."""
        standing = await self._revocations.standing(self.plan, chain, now_us)
        if standing.is_revoked:
            raise Unfit(standing.why)
        if not counts_somewhere(self.plan, standing, now_us):
            why = f"whether it is revoked cannot be found out: {_since(standing)} ({standing.why})"
            raise Unfit(why, reason=Reason.REVOCATION_UNKNOWN)
        return standing

    def _proof(self, chain: Chain, holder: Holder, standing: Standing, now_us: int) -> Proof:
        leaf = chain[0]
        barred = barred_zones(self.plan, standing, now_us)
        detail = {
            "certificate": subject_text(leaf),
            "issuer": plain(leaf.issuer.rfc4514_string()),
            "serial": f"{leaf.serial_number:x}",
            "revocation": "confirmed" if standing.is_confirmed(now_us) else _since(standing),
        }
        if barred:
            detail["barred_zones"] = ", ".join(sorted(barred))
        return Proof(
            source=self.plan.name,
            key=holder.key,
            name=holder.name,
            proved_at_us=now_us,
            groups=holder.groups,
            factors=frozenset({Factor.SMART_CARD}),
            memory="".join(each.public_bytes(Encoding.PEM).decode() for each in chain[:-1]),
            session=leaf.fingerprint(hashes.SHA256()).hex(),
            ends_at_us=int(leaf.not_valid_after_utc.timestamp()) * 1_000_000,
            barred_zones=barred,
            detail=detail,
        )


def _loaded(sent_der: Sequence[bytes]) -> list[x509.Certificate]:
    return [reading.load(each) for each in sent_der[:MAX_SENT]]


def _since(standing: Standing) -> str:
    if standing.good_until_us is None:
        return "never confirmed"
    return f"not confirmed since {datetime.fromtimestamp(standing.good_until_us // 1_000_000, UTC):%Y-%m-%d %H:%M} UTC"

"""The authenticators that subjects of other sources than the local one keep at this gate, behind the store's one door.

It must never hold a secret, only what `penstock.identity` sealed, and it never touches a subject of the local source.
"""

from __future__ import annotations

from penstock.control.people_store import PeopleStore
from penstock.control.store import Store
from penstock.identity import Account
from penstock.model import LOCAL


class Authenticators:
    """Finds them by what their source calls their owner.  Every method raises `Unavailable`."""

    def __init__(self, store: Store) -> None:
        self._store, self._people = store, PeopleStore(store)

    async def account_of(self, source: str, key: str) -> Account | None:
        """The subject that this source means by this key."""
        known = None if source == LOCAL else await self._people.by_key(source, key)
        return None if known is None else await self._store.account(known.name)

    async def accept_step(self, name: str, step: int) -> bool:
        """Remember the step as used; ``False`` when it or a later one was used already."""
        return await self._store.accept_step(name, step)

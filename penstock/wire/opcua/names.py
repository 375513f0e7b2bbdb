"""What the traffic of one flow told of nodes: their browse paths, and short names that a server gave for a session.

Pure.  `Names` is a snapshot that never changes, so that what was judged under it means the same later; `Learner` makes
the next one from pairs of request and response.  A path is learnt only where it is plain: forward, by the hierarchical
references of the standard, from the root or from a node whose path is known, to a node of this server.
It must never learn from a request alone: only the server knows where a path leads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from penstock.model import Target
from penstock.wire.opcua.binary import NodeId, printable
from penstock.wire.opcua.codes import BAD, BROWSE, REGISTER_NODES, TRANSLATE_PATHS
from penstock.wire.opcua.schema import Fields

#: Paths, and registered names, of one flow; what comes later is not learnt, and does not fit a path then.
MAX_LEARNT: Final = 4096
#: Sessions of a flow of which a snapshot is kept; clients have one.
MAX_SNAPSHOTS: Final = 16
#: Bytes of one path; a longer one is not learnt.
MAX_PATH: Final = 1024
#: Nodes of one path, and paths of one node.
MAX_NODES: Final = 16
#: OPC 10000-6, A.3: Root, Objects, Types and Views.
ROOTS: Final = MappingProxyType({"i=84": "", "i=85": "/0:Objects", "i=86": "/0:Types", "i=87": "/0:Views"})
#: OPC 10000-5, 11: HierarchicalReferences and those of its subtypes that lead from a node to its parts.
HIERARCHICAL: Final = frozenset({"i=33", "i=34", "i=35", "i=36", "i=44", "i=46", "i=47", "i=48", "i=49"})
#: What would make a name look like two (OPC 10000-4, A.2 reserves more; the others are read with and without ``&``).
RESERVED: Final = "/&"
#: OPC 10000-4, 5.9.4: the whole path was followed.
_WHOLE_PATH: Final = 0xFFFF_FFFF


class Names:
    """A snapshot: browse paths by node, registered names by what the server calls them now."""

    __slots__ = ("paths", "places", "registered", "targets", "version")

    def __init__(self, version: int, paths: Mapping[str, tuple[str, ...]], registered: Mapping[str, NodeId]) -> None:
        self.version, self.paths, self.registered = version, paths, registered
        #: What was read and written under this snapshot already, by its bytes (`operations` fills and bounds them).
        self.targets: dict[bytes, Target] = {}
        self.places: dict[bytes, tuple[Any, ...]] = {}

    def known(self, node: NodeId) -> NodeId:
        """The node that is meant: the one that was registered, where a server gave it a short name."""
        return self.registered.get(node.text, node) if self.registered else node

    def paths_of(self, node: NodeId) -> tuple[str, ...]:
        """The browse paths that lead to a node, ``/0:Objects/2:Boiler/2:Level``."""
        return self.paths.get(node.text, ()) if self.paths else ()


#: What frames have that name no nodes; nothing is remembered in it.
NO_NAMES: Final = Names(0, {}, {})


class Learner:
    """Makes the next snapshot of a flow."""

    __slots__ = ("_nodes", "_paths", "_registered", "_session", "_shown", "_snapshots", "_version", "names")

    def __init__(self) -> None:
        self.names = Names(0, {}, {})
        #: By session; all are made anew when something was learnt.  The empty one is of those that registered nothing.
        self._snapshots = {b"": self.names}
        self._session, self._version = b"", 0
        #: The paths as snapshots have them.
        self._shown: Mapping[str, tuple[str, ...]] = {}
        #: The nodes of each path: a path may lead to several, and to others after the server changed.
        self._nodes: dict[str, tuple[str, ...]] = {}
        self._paths: dict[str, tuple[str, ...]] = {}
        #: OPC 10000-4, 5.9.5: a server may give each session short names of its own, so one may mean several nodes.
        self._registered: dict[bytes, dict[str, NodeId]] = {}

    def turn_to(self, session: bytes) -> bool:
        """Let `names` be those of a session, by its authentication token; whether they are others than before."""
        if session == self._session:
            return False
        self._session, before = session, self.names
        self.names = self._names_of(session)
        return self.names is not before

    def learn(self, service: int, asked: Fields, answered: Fields, session: bytes = b"") -> bool:
        """Whether a session's request and its response told something new; then `names` is another snapshot."""
        if service == REGISTER_NODES:
            is_new = self._learn_registered(session, asked["NodesToRegister"], answered["RegisteredNodeIds"])
        elif service in {TRANSLATE_PATHS, BROWSE}:
            found = dict[str, list[str]]()
            told = _translated if service == TRANSLATE_PATHS else _browsed
            for path, node in told(self._starts, asked, answered):
                if len(path) <= MAX_PATH:
                    found.setdefault(path, []).append(node)
            is_new = self._learn_paths(found, is_whole=service == TRANSLATE_PATHS)
        else:
            return False
        if is_new:
            self._shown = dict(self._paths)
            self._snapshots.clear()
            self.names = self._names_of(self._session)
        return is_new

    def _names_of(self, session: bytes) -> Names:
        """The snapshot of a session."""
        registered = self._registered.get(session)
        key = session if registered else b""
        found = self._snapshots.get(key)
        if found is None:
            if len(self._snapshots) >= MAX_SNAPSHOTS:
                self._snapshots.clear()
            self._version += 1
            found = self._snapshots[key] = Names(self._version, self._shown, dict(registered or {}))
        return found

    def _starts(self, node: NodeId) -> tuple[str, ...]:
        text = node.text
        return (ROOTS[text],) if text in ROOTS else self._paths.get(text, ())

    def _learn_registered(self, session: bytes, asked: Iterable[NodeId], given: Iterable[NodeId]) -> bool:
        """OPC 10000-4, 5.9.5: the answer has one name for each node that was asked for."""
        known, is_new = self._registered.get(session, {}), False
        room = MAX_LEARNT - sum(map(len, self._registered.values()))
        for node, name in zip(asked, given, strict=False):
            text, meant = name.text, known.get(node.text, node)
            is_told = name != node or text in known
            if is_told and known.get(text) != meant and (text in known or room > 0):
                room -= text not in known
                known[text], is_new = meant, True
        if is_new:
            self._registered[session] = known
        return is_new

    def _learn_paths(self, found: Mapping[str, list[str]], *, is_whole: bool) -> bool:
        """`is_whole`: all nodes of a path are told at once (Browse tells the parts of one node, maybe in portions)."""
        is_new = False
        for path, nodes in found.items():
            known = self._nodes.get(path, ())
            wanted = tuple(dict.fromkeys(nodes if is_whole else (*known, *nodes)))
            if wanted != known and len(wanted) <= MAX_NODES and self._has_room(self._nodes, path):
                self._nodes[path], is_new = wanted, True
                self._rename(path, known, wanted)
        return is_new

    def _rename(self, path: str, before: Iterable[str], after: Iterable[str]) -> None:
        for node in before:
            self._paths[node] = tuple(each for each in self._paths.get(node, ()) if each != path)
        for node in after:
            self._paths[node] = (*self._paths.get(node, ())[: MAX_NODES - 1], path)

    @staticmethod
    def _has_room(learnt: Mapping[str, object], key: str) -> bool:
        return key in learnt or len(learnt) < MAX_LEARNT


def _translated(starts: Any, asked: Fields, answered: Fields) -> Iterator[tuple[str, str]]:
    """OPC 10000-4, 5.9.4: each path of the request with the nodes that the server found at its end."""
    for wanted, result in zip(asked["BrowsePaths"], answered["Results"], strict=False):
        elements = wanted["RelativePath"]["Elements"]
        if result["StatusCode"] >= BAD or not all(map(_is_plain, elements)):
            continue
        steps = "".join(f"/{step_text(each['TargetName'])}" for each in elements)
        for target in result["Targets"]:
            node = target["TargetId"]
            if target["RemainingPathIndex"] == _WHOLE_PATH and not node.place:
                yield from ((start + steps, node.text) for start in starts(wanted["StartingNode"]))


def _is_plain(element: Fields) -> bool:
    return (
        not element["IsInverse"]
        and element["ReferenceTypeId"].text in HIERARCHICAL
        and _is_named(element["TargetName"])
    )


def _is_named(name: str) -> bool:
    return bool(name.partition(":")[2])


def _browsed(starts: Any, asked: Fields, answered: Fields) -> Iterator[tuple[str, str]]:
    """OPC 10000-4, 5.9.2: each node that was browsed with those that lie under it."""
    for wanted, result in zip(asked["NodesToBrowse"], answered["Results"], strict=False):
        above = starts(wanted["NodeId"]) if result["References"] else ()
        for each in result["References"] if above else ():
            node, name = each["NodeId"], each["BrowseName"]
            is_part = each["IsForward"] and each["ReferenceTypeId"].text in HIERARCHICAL
            if is_part and _is_named(name) and not node.place:
                step, text = step_text(name), node.text
                for start in above:
                    yield f"{start}/{step}", text


def step_text(name: str) -> str:
    """One step of a path: ``2:Level``; a slash or ``&`` in a name stands behind ``&`` (OPC 10000-4, A.2)."""
    if any(each in name for each in RESERVED):
        name = "".join(f"&{each}" if each in RESERVED else each for each in name)
    return printable(name)

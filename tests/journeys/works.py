"""A whole gate in a whole plant, for journeys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from penstock.lab.gate import LabGate, Person
from penstock.lab.plant import Plant

PASSWORD = "turbine hall seven"


@dataclass(slots=True)
class Works:
    """The waterworks with its gate, and an engineer who may set the dosing rate."""

    plant: Plant
    gate: LabGate
    folder: Path

    def maria(self) -> Person:
        """Maria, enrolled and signed in at the engineering station."""
        person = self.gate.people.get("maria")
        if person is None:
            person = self.gate.enrol("maria", "operators", PASSWORD, self.plant.nodes["eng-1"])
            done = self.gate.login(person, self.plant.nodes["eng-1"])
            assert done.status == 0, done.said
        return person

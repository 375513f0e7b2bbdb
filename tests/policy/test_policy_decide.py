"""Each sentence of the semantics of a site document, held against `decide`."""

from __future__ import annotations

import pytest
from policy_cases import CLASSES, asking, machine, operation, person, policy_of, read, target, write

from penstock.model import Binding, Decision, Factor, Operation, Reason
from penstock.policy import decide

OPERATORS = """\
Operators dose:
  from: {group: operators}
  to: {asset: plc-1}
  allow:
    modbus:
      - read
      - write: {holding_registers: [10-12, 13-14, 20], values: 0-550}
  require: {factors: two}
"""


def asked(conduits: str, what: Operation | None, **request: object) -> Decision:
    subject = request.pop("subject", person("operators"))
    return decide(policy_of(conduits), asking(subject, what, **request))


def conduit(allow: str, source: str = "{group: operators}", to: str = "{asset: plc-1}", name: str = "A") -> str:
    return f"{name}:\n  from: {source}\n  to: {to}\n  allow: {allow}\n"


def test_what_no_conduit_names_is_denied() -> None:
    policy = policy_of("")
    decision = decide(policy, asking(person("operators"), read(1)))
    assert (decision.is_allowed, decision.reason, decision.conduit) == (False, Reason.NO_CONDUIT, None)


def test_an_allow_names_its_conduit_and_revision_and_misses_nothing() -> None:
    decision = asked(OPERATORS, write(11, 300))
    assert decision == Decision(is_allowed=True, reason=Reason.ALLOWED, revision=7, conduit="Operators dose")


@pytest.mark.parametrize(
    ("what", "reason", "criterion"),
    [
        (write(11, 551), Reason.VALUE_OUT_OF_RANGE, "values"),
        (write(9, 1), Reason.OBJECT_OUT_OF_RANGE, "objects"),
        (write(11, 1, table="coils"), Reason.OBJECT_OUT_OF_RANGE, "objects"),
        (operation(classes=(CLASSES.EXECUTE,)), Reason.OPERATION_NOT_ALLOWED, "operation"),
        (operation(classes=(CLASSES.UNKNOWN,)), Reason.UNKNOWN_OPERATION, "operation"),
        (operation(classes=(CLASSES.READ,), protocol="s7comm"), Reason.WRONG_PROTOCOL, "operation"),
        (operation(), Reason.OPERATION_NOT_ALLOWED, "operation"),
    ],
)
def test_a_denial_says_which_criterion_failed(what: Operation, reason: Reason, criterion: str) -> None:
    decision = asked(OPERATORS, what)
    assert (decision.is_allowed, decision.reason) == (False, reason)
    assert [miss.criterion for miss in decision.misses] == [criterion]
    assert decision.conduit == "Operators dose"


def test_a_denial_names_every_criterion_that_failed_in_plain_words() -> None:
    conduits = OPERATORS.replace("{factors: two}", "{factors: two, tls: true}")
    decision = asked(conduits, write(11, 900), subject=person("operators", factors=(Factor.PASSWORD,)))
    assert [(miss.criterion, miss.wanted, miss.found, miss.remedy) for miss in decision.misses] == [
        ("values", "0-550", "900", "choose a value in this range, or ask for a conduit that allows more"),
        ("factors", "two factors", "one factor", "sign in with a second factor"),
        (
            "tls",
            "TLS between subject and gate",
            "a flow bound by address, without TLS",
            "connect with `penstock connect`, or through the portal",
        ),
    ]
    assert decision.reason is Reason.VALUE_OUT_OF_RANGE


def test_a_subject_that_no_conduit_names_is_told_so() -> None:
    decision = asked(OPERATORS, read(1), subject=person("visitors"))
    assert decision.reason is Reason.SUBJECT_NOT_NAMED
    assert decision.misses[0].remedy == "ask for membership of group operators"


def test_an_asset_that_no_conduit_leads_this_subject_to_is_told_so() -> None:
    decision = asked(OPERATORS, read(1), asset="plc-2")
    assert decision.reason is Reason.ASSET_NOT_NAMED


def test_an_asset_outside_the_inventory_is_denied_and_said_to_be_unknown() -> None:
    decision = asked(OPERATORS, read(1), asset="plc-9")
    assert not decision.is_allowed
    assert "not in the inventory" in decision.misses[0].found


def test_a_subject_and_an_asset_that_nothing_names_have_no_conduit() -> None:
    decision = asked(OPERATORS, read(1), subject=person("visitors"), asset="plc-2")
    assert decision.reason is Reason.NO_CONDUIT
    assert decision.conduit == "Operators dose"


def test_the_closest_conduit_is_the_one_of_this_subject_and_asset_that_meets_most() -> None:
    conduits = (
        conduit("{modbus: [{write: {coils: 1, values: 0-1}}]}", name="coils")
        + "  require: {factors: phishing-resistant}\n"
        + conduit("{modbus: [{write: {holding_registers: 1-5}}]}", name="registers")
        + conduit("{modbus: [write]}", source="{group: vendors}", name="others")
    )
    decision = asked(conduits, write(6, 1))
    assert (decision.conduit, decision.reason) == ("registers", Reason.OBJECT_OUT_OF_RANGE)


def test_of_equally_close_conduits_the_first_by_name_is_named() -> None:
    conduits = conduit("{modbus: [read]}", name="B") + conduit("{modbus: [discovery]}", name="A")
    assert asked(conduits, write(1, 1)).conduit == "A"


def test_one_conduit_must_allow_every_class_of_an_operation() -> None:
    both = operation(target(CLASSES.READ, 1, 4), target(CLASSES.WRITE, 11, 1, (5,)))
    halves = conduit("{modbus: [read]}", name="A") + conduit("{modbus: [write]}", name="B")
    assert not asked(halves, both).is_allowed
    assert asked(conduit("{modbus: [read, write]}"), both).is_allowed


def test_a_class_without_a_target_must_be_allowed_too() -> None:
    what = operation(target(CLASSES.READ, 1), classes=(CLASSES.EXECUTE,))
    assert asked(conduit("{modbus: [read]}"), what).reason is Reason.OPERATION_NOT_ALLOWED
    assert asked(conduit("{modbus: [read, execute]}"), what).is_allowed


def test_an_operation_that_names_no_object_cannot_meet_a_limit() -> None:
    what = operation(classes=(CLASSES.WRITE,))
    assert asked(conduit("{modbus: [{write: {coils: 0-65535}}]}"), what).reason is Reason.OBJECT_OUT_OF_RANGE
    assert asked(conduit("{modbus: [{write: {values: 0-65535}}]}"), what).reason is Reason.VALUE_OUT_OF_RANGE
    assert asked(conduit("{modbus: [write]}"), what).is_allowed


def test_a_write_whose_values_are_not_said_cannot_meet_limited_values() -> None:
    masked = operation(target(CLASSES.WRITE, 11, 1, None))
    assert asked(OPERATORS, masked).reason is Reason.VALUE_OUT_OF_RANGE
    assert asked(conduit("{modbus: [{write: {holding_registers: 11}}]}"), masked).is_allowed


@pytest.mark.parametrize(
    ("first", "count", "is_allowed"),
    [(10, 5, True), (12, 2, True), (20, 1, True), (9, 2, False), (14, 2, False), (14, 7, False), (20, 0, False)],
)
def test_every_object_must_lie_in_the_union_of_the_spans(first: int, count: int, is_allowed: bool) -> None:  # noqa: FBT001
    what = operation(target(CLASSES.WRITE, first, count, (1,) * max(count, 1)))
    assert asked(OPERATORS, what).is_allowed is is_allowed


def test_every_value_must_be_allowed() -> None:
    assert asked(OPERATORS, write(10, 0, 550, 1)).is_allowed
    assert asked(OPERATORS, write(10, 0, 551, 1)).reason is Reason.VALUE_OUT_OF_RANGE


def test_objects_and_values_must_come_from_one_permission() -> None:
    allow = "{modbus: [{write: {holding_registers: 1, values: 0-9}}, {write: {holding_registers: 2, values: 90-99}}]}"
    assert asked(conduit(allow), write(2, 95)).is_allowed
    assert not asked(conduit(allow), write(2, 5)).is_allowed
    assert not asked(conduit(allow), write(1, 5, 95)).is_allowed


@pytest.mark.parametrize(("value", "is_allowed"), [(65531, True), (65530, False), (0, True), (10, True), (11, False)])
def test_values_below_zero_are_registers_in_twos_complement(value: int, is_allowed: bool) -> None:  # noqa: FBT001
    for text in ("-5-10", "-5..10"):
        decision = asked(conduit(f"{{modbus: [{{write: {{values: {text}}}}}]}}"), write(1, value))
        assert decision.is_allowed is is_allowed


def test_session_operations_are_allowed_wherever_a_session_is() -> None:
    keep_alive = operation(classes=(CLASSES.SESSION,))
    assert asked(OPERATORS, keep_alive).is_allowed
    assert asked(OPERATORS, keep_alive, subject=person("visitors")).reason is Reason.SUBJECT_NOT_NAMED
    weak = person("operators", factors=(Factor.PASSWORD,))
    assert asked(OPERATORS, keep_alive, subject=weak).reason is Reason.FACTORS_TOO_WEAK


def test_unknown_operations_are_allowed_by_name_only() -> None:
    every_other = ", ".join(item for item in CLASSES if item not in {CLASSES.UNKNOWN, CLASSES.ENCRYPTED})
    what = operation(classes=(CLASSES.UNKNOWN,))
    assert asked(conduit(f"{{modbus: [{every_other}]}}"), what).reason is Reason.UNKNOWN_OPERATION
    assert asked(conduit("{modbus: [unknown]}"), what).is_allowed


@pytest.mark.parametrize(
    ("required", "factors", "is_allowed"),
    [
        ("none", (), True),
        ("one", (), False),
        ("one", (Factor.ADDRESS,), False),
        ("one", (Factor.PASSWORD,), True),
        ("two", (Factor.PASSWORD,), False),
        ("two", (Factor.PASSWORD, Factor.TOTP), True),
        ("two", (Factor.PASSKEY,), True),
        ("phishing-resistant", (Factor.PASSWORD, Factor.TOTP), False),
        ("phishing-resistant", (Factor.SMART_CARD,), True),
    ],
)
def test_factors_must_be_as_strong_as_required(required: str, factors: tuple[Factor, ...], is_allowed: bool) -> None:  # noqa: FBT001
    conduits = conduit("{modbus: [read]}") + f"  require: {{factors: {required}}}\n"
    assert asked(conduits, read(1), subject=person("operators", factors=factors)).is_allowed is is_allowed


def test_required_tls_is_met_by_tls_or_by_a_certificate() -> None:
    conduits = conduit("{modbus: [read]}") + "  require: {tls: true}\n"
    assert asked(conduits, read(1)).reason is Reason.TLS_REQUIRED
    assert asked(conduits, read(1), binding=Binding.BROWSER).reason is Reason.TLS_REQUIRED
    assert asked(conduits, read(1), has_tls=True).is_allowed
    assert asked(conduits, read(1), binding=Binding.CERTIFICATE).is_allowed


def test_cui_makes_tls_a_requirement_for_people_and_not_for_machines() -> None:
    people = conduit("{modbus: [read]}", to="{asset: plc-2}")
    assert asked(people, read(1), asset="plc-2").reason is Reason.TLS_REQUIRED
    assert asked(people, read(1), asset="plc-2", has_tls=True).is_allowed
    machines = conduit("{modbus: [read]}", source="{role: scada}", to="{asset: plc-2}")
    assert asked(machines, read(1), asset="plc-2", subject=machine()).is_allowed


@pytest.mark.parametrize(
    ("source", "name", "role", "zone", "is_allowed"),
    [
        ("{role: scada, zone: control}", "scada-1", "scada", "control", True),
        ("{role: scada, zone: control}", "scada-1", "scada", "cell", False),
        ("{role: scada, zone: control}", "scada-1", "hmi", "control", False),
        ("{zone: control}", "hmi-1", "hmi", "control", True),
        ("{asset: scada-1}", "scada-1", "scada", "control", True),
        ("{asset: scada-1}", "hmi-1", "hmi", "control", False),
        ("{asset: scada-1, role: scada}", "scada-1", "hmi", "control", False),
    ],
)
def test_every_field_of_a_machines_selector_must_fit(
    source: str,
    name: str,
    role: str,
    zone: str,
    is_allowed: bool,  # noqa: FBT001
) -> None:
    decision = asked(conduit("{modbus: [read]}", source=source), read(1), subject=machine(name, role, zone))
    assert decision.is_allowed is is_allowed


def test_a_group_and_a_user_in_one_selector_must_both_fit() -> None:
    conduits = conduit("{modbus: [read]}", source="{group: operators, user: bob}")
    assert asked(conduits, read(1), subject=person("operators", name="bob")).is_allowed
    assert not asked(conduits, read(1), subject=person("operators", name="eve")).is_allowed
    assert not asked(conduits, read(1), subject=person("visitors", name="bob")).is_allowed


def test_a_person_is_never_taken_for_a_machine_nor_a_machine_for_a_person() -> None:
    machines = conduit("{modbus: [read]}", source="{asset: scada-1}")
    assert not asked(machines, read(1), subject=person("scada", name="scada-1")).is_allowed
    people = conduit("{modbus: [read]}", source="{user: scada-1}")
    assert not asked(people, read(1), subject=machine()).is_allowed


def test_a_person_of_several_groups_has_the_conduits_of_all_of_them() -> None:
    conduits = conduit("{modbus: [read]}", name="A") + conduit("{modbus: [write]}", "{group: vendors}", name="B")
    both = person("operators", "vendors")
    assert asked(conduits, read(1), subject=both).conduit == "A"
    assert asked(conduits, write(1, 1), subject=both).conduit == "B"


def test_without_an_operation_the_question_is_whether_a_session_may_open() -> None:
    assert asked(OPERATORS, None).is_allowed
    assert asked(OPERATORS, None, subject=person("visitors")).reason is Reason.SUBJECT_NOT_NAMED
    assert asked(OPERATORS, None, protocol="web").reason is Reason.OPERATION_NOT_ALLOWED
    assert asked(OPERATORS, None, subject=person("operators", factors=())).reason is Reason.FACTORS_TOO_WEAK


@pytest.mark.parametrize("protocol", ["web", "https", "tcp/443"])
def test_a_whole_port_is_found_by_service_protocol_and_port(protocol: str) -> None:
    assert asked(conduit("{tcp/443: any}"), None, protocol=protocol).is_allowed
    assert not asked(conduit("{tcp/443: any}"), None, protocol="modbus").is_allowed


def test_a_whole_port_allows_everything_on_it() -> None:
    assert asked(conduit("{tcp/502: any}"), write(1, 1)).is_allowed
    assert asked(conduit("{tcp/502: any}"), operation(classes=(CLASSES.UNKNOWN,))).is_allowed


def test_a_rate_is_charged_on_allow_and_denies_once_it_is_used_up() -> None:
    policy = policy_of(conduit("{modbus: [read, {write: {at_most: 6/min}}]}"))
    request = asking(person("operators"), write(1, 1))
    seen: list[tuple[str, int]] = []

    def spent(key: str, period_s: int) -> int:
        seen.append((key, period_s))
        return 5

    (charge,) = decide(policy, request, spent).charges
    assert (charge.count, charge.period_s) == (6, 60)
    assert set(seen) == {(charge.key, 60)}
    decision = decide(policy, request, lambda _key, _period_s: 6)
    assert (decision.reason, decision.charges) == (Reason.RATE_EXCEEDED, ())
    assert (decision.misses[0].wanted, decision.misses[0].found) == ("at most 6/min", "6 in the last 1m")
    assert decide(policy, asking(person("operators"), read(1)), lambda _key, _period_s: 6).charges == ()


def test_a_permission_without_a_rate_is_used_before_one_with_a_rate() -> None:
    one = policy_of(conduit("{modbus: [{write: {at_most: 6/min}}, {write: {holding_registers: 1}}]}"))
    assert decide(one, asking(person("operators"), write(1, 1))).charges == ()
    assert len(decide(one, asking(person("operators"), write(2, 1))).charges) == 1
    two = policy_of(conduit("{modbus: [{write: {at_most: 6/min}}]}", name="A") + conduit("{modbus: [write]}", name="B"))
    decision = decide(two, asking(person("operators"), write(1, 1)))
    assert (decision.conduit, decision.charges) == ("B", ())


def test_a_used_up_rate_of_one_conduit_leaves_another_conduits_rate() -> None:
    rated = conduit("{modbus: [{write: {at_most: 1/min}}]}", name="A")
    more = conduit("{modbus: [{write: {at_most: 2/min}}]}", name="B")
    policy = policy_of(rated + more)
    decision = decide(policy, asking(person("operators"), write(1, 1)), lambda _key, _period_s: 1)
    assert decision.conduit == "B"


def test_one_operation_charges_each_permission_once() -> None:
    policy = policy_of(conduit("{modbus: [{write: {at_most: 6/min}}, read]}"))
    two = operation(target(CLASSES.WRITE, 1, 1, (1,)), target(CLASSES.WRITE, 9, 1, (1,)))
    assert len(decide(policy, asking(person("operators"), two)).charges) == 1


def test_all_subjects_share_a_rate_and_each_asset_has_its_own() -> None:
    policy = policy_of(conduit("{modbus: [{write: {at_most: 6/min}}]}", to="{role: plc}"))

    def key(name: str, asset: str) -> str:
        request = asking(person("operators", name=name), write(1, 1), asset, has_tls=True)
        return decide(policy, request).charges[0].key

    assert key("alice", "plc-1") == key("bob", "plc-1") != key("alice", "plc-2")

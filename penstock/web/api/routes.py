"""Every path of the JSON API, in one visible list."""

from __future__ import annotations

from starlette.routing import Route

from penstock.web.api import admin, cards, clients, enrolments, gate, grants, held, proofs, reach, sessions, sign_ins

routes = [
    *admin.guarded_routes(),
    Route("/gate", gate.show, methods=["GET"]),
    Route("/enrolments", enrolments.begin, methods=["POST"]),
    Route("/enrolments/confirm", enrolments.confirm, methods=["POST"]),
    Route("/cards/challenges", cards.challenge, methods=["POST"]),
    Route("/cards/proofs", cards.prove, methods=["POST"]),
    Route("/sign-ins/current/proofs/card", cards.prove_again, methods=["POST"]),
    Route("/sign-ins", sign_ins.begin, methods=["POST"]),
    Route("/sign-ins", sign_ins.show, methods=["GET"]),
    Route("/sign-ins/current", sign_ins.end, methods=["DELETE"]),
    Route("/sign-ins/{id}", sign_ins.end_one, methods=["DELETE"]),
    Route("/sign-ins/current/proofs", proofs.prove_again, methods=["POST"]),
    Route("/clients/devices", clients.begin_device, methods=["POST"]),
    Route("/clients/tokens", clients.sign_in, methods=["POST"]),
    Route("/clients/proofs", clients.prove_again, methods=["POST"]),
    Route("/reach", reach.show, methods=["GET"]),
    Route("/grants", grants.open_grant, methods=["POST"]),
    Route("/grants/{number}", grants.close, methods=["DELETE"]),
    Route("/held", held.show, methods=["GET"]),
    Route("/held/{hold}", held.show_one, methods=["GET"]),
    Route("/held/{hold}/{verb}", held.decide, methods=["POST"]),
    Route("/sessions", sessions.show, methods=["GET"]),
]

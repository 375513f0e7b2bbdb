"""What the kernel holds, over the administrator's socket: verified on demand, and when it was verified last."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from penstock.control import Gate
from penstock.model import Unavailable, Verified, VerifyKernel
from penstock.web.asking import gate_of, moment_text


async def verify(request: Request) -> JSONResponse:
    """POST: read it back now; what is ours is put right, and recorded, before the answer."""
    answer = await gate_of(request).enforcer.command(VerifyKernel())
    if not isinstance(answer, Verified):
        raise Unavailable("this gate runs without the kernel, so there is nothing to verify")
    return JSONResponse({"differences": [*answer.differences], "checked": answer.checked})


def last_text(gate: Gate) -> str:
    """The result of the last verification, for people."""
    if not gate.settings.has_kernel:
        return "not enforced"
    last = gate.events.verified
    if last is None:
        return "not verified yet"
    found = f"{last.differences} differences" if last.differences else "as it was told"
    return f"{found}, {last.checked} things compared at {moment_text(last.at_us)}"


route = Route("/admin/kernel/verify", verify, methods=["POST"])

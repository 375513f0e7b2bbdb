"""``penstock demo``: the simulated plant, the gate in it, and the story of its main job."""

from __future__ import annotations

import argparse
import sys
import time


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``demo``."""
    demo = subparsers.add_parser("demo", help="bring up a simulated plant and show the gate's main job on it")
    demo.add_argument("--story", action="store_true", help="do not stay up; exit 1 if any step is not as claimed")
    demo.add_argument("--no-story", action="store_true", help="bring the plant up and stay, without the story")
    demo.add_argument("--code", action="store_true", help="print the present one-time code of the demo that is up")
    demo.add_argument("--portal-port", type=int, default=8443, help="on this machine's loopback (default 8443)")
    demo.add_argument("--tunnel-port", type=int, default=8444, help="on this machine's loopback (default 8444)")
    demo.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Play it; 0 when every step was as claimed."""
    from penstock.lab.demo import DemoSettings, current_code, run_demo  # noqa: PLC0415  the lab is not always installed

    if arguments.code:
        code = current_code()
        if code.wait_s:
            print(f"the present code was used; waiting {code.wait_s:.0f} s for the next one", file=sys.stderr)
            time.sleep(code.wait_s)
        print(code.digits)
        return 0
    settings = DemoSettings(
        portal_port=arguments.portal_port,
        tunnel_port=arguments.tunnel_port,
        plays_story=not arguments.no_story,
        stays_up=not arguments.story,
    )
    return 0 if run_demo(settings) else 1

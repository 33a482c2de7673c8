"""The sandbox's process: the world (control API and page), Microsoft and Salesforce, each an https origin of its own.

    python -m sandbox.world --authority DIR [--world-port N] [--microsoft-port N] [--salesforce-port N]

It reads the product's settings from the environment, so that registrations, secrets and tokens agree, and prints one line
`listening world=... microsoft=... salesforce=...` when it answers. `MAILSPAN_CANARIES=1` puts a unique word into every text of
the sample data; `MAILSPAN_SEED` is the seed of all that is left to chance. It ends on SIGTERM; all it knows is gone then.

It must never listen on anything but this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping

from aiohttp import web

from sandbox import control, page
from sandbox.authority import Authority
from sandbox.salesforce import LONGEST_LINE
from sandbox.serve import Sandbox
from shared.settings import SettingsError, read

ORIGINS = ("world", "microsoft", "salesforce")
HOST = "127.0.0.1"
CLOSE_WITHIN_S = 1.0


def applications(sandbox: Sandbox) -> dict[str, web.Application]:
    """One application per origin."""
    world = control.application(sandbox)
    page.mount(world, sandbox)
    return {"world": world, "microsoft": sandbox.microsoft.application(), "salesforce": sandbox.salesforce.application()}


async def serve(authority: Authority, ports: Mapping[str, int], environment: Mapping[str, str]) -> None:
    """Serves until SIGTERM or SIGINT. Port 0 is a free one. Raises OSError, SettingsError."""
    sockets = {name: _listening(ports[name]) for name in ORIGINS}
    addresses = {name: f"https://localhost:{bound.getsockname()[1]}" for name, bound in sockets.items()}
    sandbox = Sandbox(
        read(environment),
        addresses,
        seed=int(environment.get("MAILSPAN_SEED") or 1),
        canaries=environment.get("MAILSPAN_CANARIES") == "1",
    )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    runners = []
    for name, application in applications(sandbox).items():
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_WITHIN_S, max_line_size=LONGEST_LINE)
        await runner.setup()
        await web.SockSite(runner, sockets[name], ssl_context=authority.server_context()).start()
        runners.append(runner)
    print("listening " + " ".join(f"{name}={address}" for name, address in addresses.items()), flush=True)
    await stopping.wait()
    await asyncio.gather(*(runner.cleanup() for runner in runners))


def _listening(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    return bound


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox.world", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--authority", required=True)
    for name in ORIGINS:
        parser.add_argument(f"--{name}-port", type=int, default=0)
    arguments = parser.parse_args()
    ports = {name: getattr(arguments, f"{name}_port") for name in ORIGINS}
    try:
        asyncio.run(serve(Authority(arguments.authority), ports, os.environ))
    except (OSError, SettingsError) as problem:
        print(f"The sandbox could not be started. {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

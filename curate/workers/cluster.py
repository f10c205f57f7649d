"""Ray, for all that can run on a cluster: the user's, or one of this machine alone that ends with the command."""

import os
import socket
from typing import Any

from curate.foundation.errors import FewposeError, UsageError

_SECONDS_TO_KNOCK = 10.0
_STORE_BYTES = 200_000_000  # of Ray's object store, where we start Ray


def ray() -> Any:
    """Ray itself. Raises UsageError where it is not installed."""
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise UsageError("--engine ray needs Ray, which is not installed: pip install 'fewpose[ray]'") from error
    return ray


def connect(ray: Any, address: str = "") -> bool:
    """To the cluster at `address` or RAY_ADDRESS, else to a Ray of this machine alone.

    True where there was no connection before.

    Raises FewposeError where nobody answers.
    """
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    named = f"--address {address}" if address else f"RAY_ADDRESS={os.environ.get('RAY_ADDRESS')}"
    address = address or os.environ.get("RAY_ADDRESS", "")
    try:
        if address:
            _knock(address)
            ray.init(address, **quiet)
        else:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # our user was not asked whether Ray may call home
            ray.init("local", include_dashboard=False, object_store_memory=_STORE_BYTES, **quiet)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        where = f"no Ray cluster answers at {named}" if address else "Ray does not start here"
        raise FewposeError(f"{where} ({error}); without --engine ray, it works without Ray") from error
    return True


def _knock(address: str) -> None:
    """Raises OSError where nobody listens: Ray itself would try for minutes, and then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():  # not "auto"
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_KNOCK).close()

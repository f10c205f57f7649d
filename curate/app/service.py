"""Serve the App: our server in place of FiftyOne's, a key for it, and a quick end."""

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlencode

from curate.app import fiftyone_library, guard
from curate.app.server import Told
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError

_START_SECONDS = 60  # FiftyOne is imported again, on a machine that may be busy
_LOOK_SECONDS = 0.25
_STOP_SECONDS = 2.5  # FiftyOne would wait for its server without a limit


@contextmanager
def served(dataset: Any, collection: Collection, port: int) -> Iterator[str]:
    """Serve the App on a port of 127.0.0.1; yields the address that lets a browser in, which holds the key.

    Raises FewposeError where the server does not start.
    """
    service, client = fiftyone_library.part("core.service"), fiftyone_library.part("core.session.client")
    told = Told(port, secrets.token_urlsafe(32), str(collection.root.absolute()))
    query = urlencode({"key": told.key, "to": f"/datasets/{dataset.name}"}, safe="/")
    # FiftyOne's session starts its server as the one, and asks it through the other.
    with _replaced(service, "ServerService", _guarded(told)), _replaced(client, "requests", _with_key(told.key)):
        # remote: FiftyOne opens no browser by itself, and gives no advice.
        session = fiftyone_library.fo().launch_app(dataset, address="127.0.0.1", port=port, remote=True, auto=False)
        try:
            yield f"http://127.0.0.1:{port}{guard.ENTER}?{query}"
        finally:
            session.close()  # or its server lingers


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _with_key(key: str) -> Any:
    """What asks like the module requests, with the key, and never by way of a proxy."""
    import requests

    session = requests.Session()
    session.trust_env = False
    session.headers[guard.HEADER] = key
    return session


def _guarded(told: Told) -> type:
    """The service that runs our server. FiftyOne's wrapper around it stays: it ends the server when we die."""
    import psutil

    service = fiftyone_library.part("core.service")

    class Guarded(service.ServerService):  # type: ignore[misc, name-defined]  # FiftyOne has no types
        @property
        def command(self) -> list[str]:
            # -P: the folder that it is started in, FiftyOne's, has modules with names of everybody's.
            return [sys.executable, "-P", "-m", "curate.app.server"]

        @property
        def env(self) -> dict[str, str]:
            return {**super().env, **told.environment()}

        def start(self) -> None:
            """FiftyOne's own would join whatever answers on the port, and wait on where its server has ended."""
            service.Service.start(self)
            limit = time.monotonic() + _START_SECONDS
            while not self._listens():
                if self.child.poll() is not None or time.monotonic() > limit:
                    raise FewposeError(
                        f"the App's server did not start on port {self.port}; what it said stands above. "
                        "Name another --port, or none for a free one"
                    )

        def _listens(self) -> bool:
            try:
                return bool(self._wait_for_child_port(port=self.port, timeout=_LOOK_SECONDS))
            except (service.ServiceListenTimeout, psutil.Error):
                return False

        def stop(self) -> None:
            _stop(self.child)

    return Guarded


def _stop(child: Any) -> None:
    """child: a psutil.Popen of FiftyOne's wrapper, which ends the server when its input is closed."""
    import psutil

    child.stdin.close()
    try:
        child.wait(timeout=_STOP_SECONDS)
    except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
        for process in [*child.children(recursive=True), child]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        child.wait(timeout=_STOP_SECONDS)

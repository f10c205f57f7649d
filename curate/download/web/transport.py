"""HTTP through `requests`, to addresses that were checked, and requests that another thread can cancel."""

import contextlib
import errno
import http.client
import io
import os
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from curate.download.web import head
from curate.download.web.addresses import Address, Resolver
from curate.download.web.outcome import Outcome

_IDLE = 512  # connections that are kept open for later at most: a process may often have no more than 1,024 files

AUTHORITIES = DEFAULT_CA_BUNDLE_PATH  # the certificates that browsers trust

_HEADERS = {"Accept": "image/*,*/*;q=0.8", "Accept-Encoding": "identity"}  # pictures are compressed already


class NotConnected(Exception):
    """No address of the host accepted a connection."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


class Cancellation:
    """Lets another thread end one job's requests, at any moment and for good. It knows what the job waits for now.

    deadline: time.monotonic() at which the job should be done; timeouts are no longer than what is left.
    """

    def __init__(self) -> None:
        self.deadline = float("inf")
        self.reason: Outcome | None = None  # what became of the request, where it was cancelled
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None

    @property
    def seconds_left(self) -> float:
        """0 when it was cancelled or its time is over."""
        return 0.0 if self.reason else max(0.0, self.deadline - time.monotonic())

    def cancel(self, reason: Outcome = Outcome.DEADLINE) -> None:
        """End what the request waits for now, and all that it would wait for later."""
        with self._lock:
            self.reason = self.reason or reason
            if self._end:
                self._end()

    def on_cancel(self, end: Callable[[], None]) -> None:
        """From now on `end` is what ends the wait; at once, where it was cancelled already."""
        with self._lock:
            self._end = end
            if self.reason:
                end()

    def shut_on_cancel(self, sock: socket.socket) -> None:
        self.on_cancel(lambda: _shut(sock))

    def release(self) -> None:
        """Nothing is waited for any more: a socket that was handed over may serve another request."""
        with self._lock:
            self._end = None


def _shut(sock: socket.socket) -> None:
    # Unbound: SSLSocket.shutdown takes the TLS state away under the thread that reads. After this one, a blocked
    # read, handshake or connect returns at once; close() would leave it blocked.
    with contextlib.suppress(OSError):  # not connected yet, or no more
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _OfThread(threading.local):
    """The cancellation of the request that this thread makes: urllib3 has no way to hand it down to a connection."""

    cancellation = Cancellation()


_current = _OfThread()


class _Socket(ssl.SSLSocket):
    """A TLS socket replaces the plain one in the middle of connecting, before its handshake."""

    def do_handshake(self, block: bool = False) -> None:
        _current.cancellation.shut_on_cancel(self)
        super().do_handshake(block)


def _connected(host: str, port: int, timeout: float, resolver: Resolver) -> socket.socket:
    """A socket to one of the checked addresses. Raises NotConnected, and what the resolver raises."""
    cancellation = _current.cancellation
    problem = NotConnected(Outcome.DEADLINE, "no time left")
    for address in resolver.addresses(host, port, within=cancellation.seconds_left, on_cancel=cancellation.on_cancel):
        seconds = min(timeout, cancellation.seconds_left)
        if not seconds:
            break
        try:
            return _connect(address, seconds, cancellation)
        except OSError as error:
            problem = NotConnected(_why(error), os.strerror(error.errno) if error.errno else "timed out")
    raise problem


def _connect(address: Address, seconds: float, cancellation: Cancellation) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(seconds)
        cancellation.shut_on_cancel(sock)
        sock.connect(address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _why(error: OSError) -> Outcome:
    if isinstance(error, TimeoutError):
        return Outcome.CONNECT_TIMEOUT
    return Outcome.CONNECTION_REFUSED if error.errno == errno.ECONNREFUSED else Outcome.UNREACHABLE


# What `requests` and urllib3 are told to do otherwise


class _Response(http.client.HTTPResponse):
    def begin(self) -> None:
        """Read the head. Raises what `head.read` raises, and what http.client does."""
        stream = self.fp
        self.fp = io.BytesIO(head.read(stream))  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            self.fp = stream


class _Connection(HTTPConnection):
    response_class = _Response
    resolver: Resolver

    def _new_conn(self) -> socket.socket:
        return _connected(self._dns_host, self.port, float(self.timeout or 0), self.resolver)


class _TlsConnection(HTTPSConnection):
    response_class = _Response
    resolver: Resolver

    def _new_conn(self) -> socket.socket:
        return _connected(self._dns_host, self.port, float(self.timeout or 0), self.resolver)

    def connect(self) -> None:
        try:
            super().connect()
        except TimeoutError as error:  # the handshake is part of connecting
            raise NotConnected(Outcome.CONNECT_TIMEOUT, "TLS handshake timed out") from error


class _Pool(HTTPConnectionPool):
    """The connections to one host; the one that a request uses is shut where that request is cancelled."""

    ConnectionCls: Any = _Connection
    resolver: Resolver

    def _new_conn(self) -> Any:
        connection: Any = super()._new_conn()
        connection.resolver = self.resolver
        return connection

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        if connection.sock:
            _current.cancellation.shut_on_cancel(connection.sock)
        return connection

    def _put_conn(self, conn: Any) -> None:
        _current.cancellation.release()
        super()._put_conn(conn)


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """One request, one try, no proxies, no cookies; a pool for each of the hosts that were asked last."""

    def __init__(self, resolver: Resolver, per_host: int, authorities: str) -> None:
        super().__init__(max_retries=Retry(total=False))  # redirects and tries are counted elsewhere
        self._resolver = resolver
        self._per_host = per_host
        # One for all connections: reading the authorities' certificates takes longer than a request.
        self._tls = create_urllib3_context()
        self._tls.load_verify_locations(authorities)
        self._tls.sslsocket_class = _Socket
        self._lock = threading.Lock()
        self._pools: OrderedDict[tuple[str, str], HTTPConnectionPool] = OrderedDict()

    def get_connection_with_tls_context(self, request: Any, *_: Any, **__: Any) -> HTTPConnectionPool:
        parts = urlsplit(request.url)
        key = parts.scheme, parts.netloc
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = self._new_pool(parts.scheme, parts.hostname or "", parts.port)
            self._pools.move_to_end(key)
            # Not closed: somebody may be about to use it. The last one who does so closes it by letting go.
            while len(self._pools) * self._per_host > _IDLE and len(self._pools) > 1:
                self._pools.popitem(last=False)
        return pool

    def _new_pool(self, scheme: str, host: str, port: int | None) -> HTTPConnectionPool:
        pool: _Pool
        if scheme == "https":
            pool = _TlsPool(host, port or 443, maxsize=self._per_host, ssl_context=self._tls, cert_reqs="CERT_REQUIRED")
        else:
            pool = _Pool(host, port or 80, maxsize=self._per_host)
        pool.resolver = self._resolver
        return pool

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Done by the pool's context."""

    def request_url(self, request: Any, proxies: Any) -> str:
        return str(request.path_url)

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        response = requests.Response()
        response.status_code = resp.status
        response.raw = resp  # which has the headers, too, repeated ones apart
        response.url = req.url or ""
        response.request = req
        return response

    def close(self) -> None:
        super().close()
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()


class Transport:
    """GET requests from many threads.

    Through an adapter of `requests`, without a Session above it: that would read the body of a redirect whole, however
    long, keep cookies, ask a proxy that the environment names (which connects to addresses that nobody checked), and
    give passwords out of .netrc to hosts out of a list.

    per_host: connections to one host that are kept open.
    authorities: a file of the certificates that are trusted.
    """

    def __init__(self, resolver: Resolver, *, user_agent: str, per_host: int, authorities: str = AUTHORITIES) -> None:
        self._adapter = _Adapter(resolver, per_host, authorities)
        self._headers = CaseInsensitiveDict({"User-Agent": user_agent, **_HEADERS})

    def get(
        self, url: str, cancellation: Cancellation, *, connect_timeout: float, read_timeout: float
    ) -> requests.Response:
        """The answer of a server, its body still to be read; the caller closes it. Redirects are answers, too.

        url: in normal form. Timeouts are in seconds, and not longer than what is left until the deadline.

        Raises NotConnected, what the resolver raises, and what requests, urllib3, http.client and sockets raise.
        """
        _current.cancellation = cancellation
        request = requests.PreparedRequest()
        request.method, request.url, request.headers = "GET", url, self._headers
        left = cancellation.seconds_left
        if not left:
            raise NotConnected(cancellation.reason or Outcome.DEADLINE, "no time left")
        timeout: Any = Timeout(connect=min(connect_timeout, left), read=min(read_timeout, left))
        return self._adapter.send(request, stream=True, timeout=timeout)

    def close(self) -> None:
        """Close the connections that are idle, and the others as soon as they are."""
        self._adapter.close()

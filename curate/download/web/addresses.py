"""Which addresses may be connected to: names are looked up once a run, and what was looked up is checked.

What is checked is the address and not the name, so odd spellings (http://2130706433/, 0x7f.1, localhost.) need no care
of their own. A caller connects to the addresses that it got here and never looks the name up again: a name that is
public now and private a moment later (DNS rebinding) gains nothing. Of a name with public and private addresses the
public ones are used.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

Lookup = Callable[..., list[tuple[Any, Any, Any, Any, Any]]]  # like socket.getaddrinfo

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

# What ipaddress calls global, in some versions of Python at least, and is not: protocol assignments (a metadata
# service among them), documentation, and Azure's metadata service, which has a public address.
_NOT_PUBLIC = [ipaddress.ip_network(text) for text in ("192.0.0.0/24", "3fff::/20", "168.63.129.16/32")]

# Said by the name service: there is no such name, or it has no address.
_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class Address(NamedTuple):
    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]  # as socket.connect wants it


class NoSuchHost(Exception):
    """The name service answers, and knows no address of this name."""


class LookupFailed(Exception):
    """There was no answer, or none to be believed: the name may well exist."""


class Blocked(Exception):
    """The name leads to addresses that are not on the public internet; `address` is one of them."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


class _Question:
    """One lookup of one host."""

    def __init__(self) -> None:
        self.asked = time.monotonic()
        # The answer may be an exception: as a result, because one that is raised in many threads grows with each.
        self.answer: Future[list[Address] | Exception] = Future()

    @property
    def failed(self) -> bool:
        return self.answer.done() and isinstance(self.answer.result(), LookupFailed)


class Resolver:
    """The addresses of hosts. Safe in threads; those that ask for the same name wait for the same lookup.

    allow_private: give out addresses that are not on the public internet, too.
    timeout: seconds that a lookup may take.
    lookup: called like socket.getaddrinfo, for names; addresses in numbers need no lookup.
    """

    def __init__(
        self, *, allow_private: bool = False, timeout: float = 10.0, lookup: Lookup = socket.getaddrinfo
    ) -> None:
        self._allow_private = allow_private
        self._timeout = timeout
        self._lookup = lookup
        self._lock = threading.Lock()
        self._questions: dict[str, _Question] = {}
        self._online = False  # some name was found

    def addresses(
        self,
        host: str,
        port: int,
        *,
        within: float = float("inf"),
        on_cancel: Callable[[Callable[[], None]], None] = lambda end: None,
    ) -> list[Address]:
        """The addresses of a host, in the order in which to try them; at least one.

        within: seconds to wait at most, where that is less than the timeout.
        on_cancel: is given a function that ends the wait at once, for another thread to call.

        Raises NoSuchHost, LookupFailed, Blocked.
        """
        question = self._question(host)
        if not question.answer.done():
            over = threading.Event()
            question.answer.add_done_callback(lambda _: over.set())
            on_cancel(over.set)
            # Counted from when it was asked: a name server that is silent costs a host's links one timeout in all.
            over.wait(max(0.0, min(within, question.asked + self._timeout - time.monotonic())))
        if not question.answer.done():
            raise LookupFailed("the name service does not answer")
        answer = question.answer.result()
        if isinstance(answer, Exception):
            raise type(answer)(*answer.args)
        return [Address(family, (ip, port, *rest)) for family, (ip, _, *rest) in answer]

    def _question(self, host: str) -> _Question:
        with self._lock:
            question = self._questions.get(host)
            # A failure stands for as long as a lookup may take: the links that wait for it shall not ask one by one.
            if question and not (question.failed and question.asked + self._timeout < time.monotonic()):
                return question
            numbers = _numbers(host)
            question = self._questions[host] = _Question()
        if numbers:
            question.answer.set_result(self._checked(numbers))
        else:
            # A lookup can't be interrupted, and a daemon thread is the one kind that a process doesn't wait for.
            threading.Thread(target=self._ask, args=(host, question), name="lookup", daemon=True).start()
        return question

    def _ask(self, host: str, question: _Question) -> None:
        try:
            answer = self._checked(_addresses(self._lookup(host, 0, type=socket.SOCK_STREAM)))
            self._online = self._online or isinstance(answer, list)  # localhost is known without a network
        except UnicodeError:  # no name can be like this
            answer = NoSuchHost("not a host name")
        except OSError as error:
            unknown = isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_HOST
            # Offline, some systems say of every name that it doesn't exist.
            answer = NoSuchHost(_said(error)) if unknown and self._online else LookupFailed(_said(error))
        question.answer.set_result(answer)

    def _checked(self, addresses: list[Address]) -> list[Address] | Exception:
        allowed = [address for address in addresses if self._allow_private or is_public(address.sockaddr[0])]
        if allowed:
            return allowed
        return Blocked(addresses[0].sockaddr[0]) if addresses else LookupFailed("the name service gave no address")


def is_public(address: str) -> bool:
    """Whether this is one machine's address on the public internet, and no metadata service of a cloud."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip in _NAT64 and ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if inner:  # the machine that is reached in the end
            return is_public(str(inner))
        if ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not any(ip in n for n in _NOT_PUBLIC)


def _numbers(host: str) -> list[Address]:
    """The address that a host is, in any of its spellings; nothing for a name."""
    try:
        return _addresses(socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except (OSError, UnicodeError):
        return []


def _addresses(found: list[tuple[Any, Any, Any, Any, Any]]) -> list[Address]:
    """What getaddrinfo gives, each once, without families that are not of the internet."""
    addresses = [Address(family, sockaddr) for family, _, _, _, sockaddr in found]
    return list(dict.fromkeys(a for a in addresses if a.family in (socket.AF_INET, socket.AF_INET6)))


def _said(error: OSError) -> str:
    return error.strerror or type(error).__name__

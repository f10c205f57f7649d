import socket
import threading
import time
from typing import Any

import pytest

from curate.download.web.addresses import Blocked, LookupFailed, NoSuchHost, Resolver, is_public


def found(*addresses: str) -> list[Any]:
    family = {True: socket.AF_INET6, False: socket.AF_INET}
    return [(family[":" in a], socket.SOCK_STREAM, 6, "", (a, 0, 0, 0) if ":" in a else (a, 0)) for a in addresses]


class NameService:
    """Answers like getaddrinfo, from a table, and remembers what it was asked."""

    def __init__(self, **table: Any) -> None:
        self.table = table
        self.asked: list[str] = []

    def __call__(self, host: str, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        answer = self.table[host.partition(".")[0]]
        if isinstance(answer, Exception):
            raise answer
        result: list[Any] = answer
        return result


UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
LATER = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.mark.parametrize(
    "address",
    [
        *["127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "0.1.2.3"],  # noqa: S104
        *["100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "240.0.0.1", "255.255.255.255"],
        *["192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"],
        *["::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "100::1"],
        *["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1"],
        *["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2001:0:7f00:1::"],
    ],
)
def test_what_is_not_on_the_public_internet_is_blocked(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(Blocked, match=r"\d|:"):
        Resolver(lookup=NameService(name=found(address))).addresses("name.test", 80)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_given_out_with_the_port(address: str) -> None:
    (given,) = Resolver(lookup=NameService(name=found(address))).addresses("name.test", 8080)
    assert given.sockaddr[:2] == (address, 8080)


@pytest.mark.parametrize("spelling", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "017700000001", "::1", "localhost"])
def test_odd_spellings_of_this_machine_are_blocked(spelling: str) -> None:
    with pytest.raises(Blocked):
        Resolver().addresses(spelling, 80)


def test_private_addresses_are_given_out_where_that_is_allowed() -> None:
    (given,) = Resolver(allow_private=True).addresses("127.0.7.1", 80)
    assert given.sockaddr == ("127.0.7.1", 80)


def test_of_public_and_private_addresses_the_public_ones_are_used() -> None:
    service = NameService(name=found("10.0.0.1", "8.8.8.8", "::1", "8.8.4.4", "8.8.8.8"))
    given = Resolver(lookup=service).addresses("name.test", 80)
    assert [address.sockaddr[0] for address in given] == ["8.8.8.8", "8.8.4.4"]


def test_a_name_is_looked_up_once_also_when_it_is_not_there() -> None:
    service = NameService(name=found("8.8.8.8"), none=UNKNOWN, home=found("10.0.0.1"))
    resolver = Resolver(lookup=service)
    for _ in range(3):
        resolver.addresses("name.test", 80)
        with pytest.raises(NoSuchHost):
            resolver.addresses("none.test", 80)
        with pytest.raises(Blocked):
            resolver.addresses("home.test", 80)
    assert service.asked == ["name.test", "none.test", "home.test"]


def test_those_who_ask_at_once_wait_for_one_lookup() -> None:
    go, asked, given = threading.Event(), [], []

    def slow(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        go.wait(10)
        return found("8.8.8.8")

    resolver = Resolver(lookup=slow)
    threads = [threading.Thread(target=lambda: given.append(resolver.addresses("name.test", 80))) for _ in range(8)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert asked == ["name.test"]
    assert len(given) == 8


def test_that_a_name_does_not_exist_is_believed_only_of_a_name_service_that_works() -> None:
    resolver = Resolver(lookup=NameService(name=found("8.8.8.8"), none=UNKNOWN, gone=UNKNOWN), timeout=0.05)
    with pytest.raises(LookupFailed):
        resolver.addresses("none.test", 80)
    resolver.addresses("name.test", 80)
    with pytest.raises(NoSuchHost):
        resolver.addresses("gone.test", 80)
    time.sleep(0.06)  # the first answer was no answer, so it does not stand for ever
    with pytest.raises(NoSuchHost):
        resolver.addresses("none.test", 80)


def test_addresses_that_need_no_lookup_and_this_machine_s_name_say_nothing_of_the_name_service() -> None:
    resolver = Resolver(lookup=NameService(localhost=found("127.0.0.1"), none=UNKNOWN))
    resolver.addresses("8.8.8.8", 80)
    with pytest.raises(Blocked):
        resolver.addresses("localhost", 80)
    with pytest.raises(LookupFailed):
        resolver.addresses("none.test", 80)


def test_a_failure_stands_while_a_lookup_may_take_and_is_then_tried_again() -> None:
    service = NameService(name=LATER)
    resolver = Resolver(lookup=service, timeout=0.1)
    for _ in range(3):
        with pytest.raises(LookupFailed):
            resolver.addresses("name.test", 80)
    assert service.asked == ["name.test"]
    time.sleep(0.11)
    service.table["name"] = found("8.8.8.8")
    assert resolver.addresses("name.test", 80)


@pytest.mark.parametrize("host", ["", "a..b", "x" * 64 + ".test", "\udc80.test"])
def test_what_can_be_no_name_is_no_host_or_fails(host: str) -> None:
    with pytest.raises((NoSuchHost, LookupFailed)):
        Resolver().addresses(host, 80)


def hanging(*_: Any, **__: Any) -> list[Any]:
    time.sleep(3)
    return found("8.8.8.8")


def test_a_lookup_that_hangs_costs_its_host_one_timeout_in_all() -> None:
    resolver = Resolver(lookup=hanging, timeout=0.2)
    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(LookupFailed):
            resolver.addresses("name.test", 80)
    assert 0.15 < time.monotonic() - began < 5


def test_a_wait_can_be_limited_and_ended_by_another_thread() -> None:
    resolver = Resolver(lookup=hanging)
    began = time.monotonic()
    with pytest.raises(LookupFailed):
        resolver.addresses("name.test", 80, within=0.1)
    with pytest.raises(LookupFailed):
        resolver.addresses("name.test", 80, on_cancel=lambda end: threading.Timer(0.1, end).start())
    assert time.monotonic() - began < 4

"""Which connection is closed at the limit: the one that has waited longest for its client, never a busy one."""

from __future__ import annotations

import pytest

from sentiloc.app.http.connection_table import ConnectionTable, address_name


class Fake:
    """A connection that records its closing."""

    def __init__(self, address: str = "10.0.0.1", waits: bool = True) -> None:
        self.address = address
        self.waits = waits
        self.closed = False

    def is_waiting(self) -> bool:
        return self.waits

    def give_way(self) -> None:
        self.closed = True


def test_the_one_that_has_waited_longest_gives_way() -> None:
    table = ConnectionTable(3, 100)
    first, second, third, fourth, fifth = (Fake() for _ in range(5))
    assert [table.add(one) for one in (first, second, third)] == [0, 0, 0]
    table.touch(first)
    assert table.add(fourth) == 0
    assert second.closed
    assert table.add(fifth) == 0
    assert third.closed and not first.closed
    assert len(table) == 3


def test_busy_connections_stay_and_the_new_one_exceeds_the_limit() -> None:
    table = ConnectionTable(2, 100)
    working = [Fake(waits=False), Fake(waits=False)]
    assert [table.add(one) for one in working] == [0, 0]
    late = [Fake(), Fake()]
    assert table.add(late[0]) == 1
    # The next new connection replaces the waiting one.
    assert table.add(late[1]) == 1
    assert late[0].closed
    assert not any(one.closed for one in working)
    table.remove(working[0])
    table.remove(working[0])
    assert len(table) == 2


def test_an_address_makes_room_among_its_own() -> None:
    table = ConnectionTable(10, 2)
    other, *mine = Fake("10.0.0.2"), Fake(), Fake(), Fake()
    assert [table.add(one) for one in (other, *mine)] == [0, 0, 0, 0]
    assert [one.closed for one in (other, *mine)] == [False, True, False, False]
    busy = [Fake("10.0.0.3", waits=False) for _ in range(3)]
    assert [table.add(one) for one in busy] == [0, 0, 1]


@pytest.mark.parametrize("proxies", [["10.0.0.1"], ["10.0.0.0/8"], ["*"], ["proxy.internal", "10.0.0.1/32"]])
def test_a_proxy_has_no_limit_of_its_own(proxies: list[str]) -> None:
    table = ConnectionTable(100, 2, proxies)
    many = [Fake(waits=False) for _ in range(50)]
    assert {table.add(one) for one in many} == {0}
    others = [Fake("192.0.2.1", waits=False) for _ in range(3)]
    assert [table.add(one) for one in others][-1] == (0 if proxies == ["*"] else 1)


def test_names_of_addresses() -> None:
    assert address_name("192.0.2.1") == address_name("::ffff:192.0.2.1") == "192.0.2.1"
    assert address_name("2001:db8::1") == address_name("2001:db8::ffff:1") == "2001:db8::/64"
    assert address_name("2001:db8:0:1::1") != address_name("2001:db8::1")
    assert (address_name(""), address_name("testclient")) == ("", "testclient")

"""Clients of Elasticsearch are shared by those that reach it in the same way, and closed when nobody does."""

from typing import Any

from match_operator.access import Access
from match_operator.clients.pool import Clients


class Opened:
    """A client that knows whether it was closed."""

    def __init__(self, to: Access) -> None:
        self.to = to
        self.closed = False

    def close(self) -> None:
        self.closed = True


def made() -> Any:
    connect: Any = Opened
    return Clients(connect)


ONE, OTHER = Access("http://es:9200", "ann", "old"), Access("http://es:9200", "ann", "new")


def test_those_that_reach_it_in_the_same_way_share_a_client():
    clients = made()
    assert clients.connected(("a", "x"), ONE) is clients.connected(("b", "y"), ONE)
    assert clients.of(("a", "x")) is clients.of(("b", "y"))
    assert clients.of(("c", "z")) is None


def test_a_client_is_closed_when_the_last_one_leaves():
    clients = made()
    client = clients.connected(("a", "x"), ONE)
    clients.connected(("b", "y"), ONE)
    clients.leave(("a", "x"))
    assert not client.closed
    clients.leave(("b", "y"))
    assert client.closed
    clients.leave(("b", "y"))


def test_a_new_password_is_a_new_client_and_ends_the_old_one():
    clients = made()
    old = clients.connected(("a", "x"), ONE)
    new = clients.connected(("a", "x"), OTHER)
    assert (old.closed, new.closed, clients.of(("a", "x"))) == (True, False, new)

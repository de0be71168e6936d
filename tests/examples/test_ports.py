"""Ports for servers of our own."""

import socket

import pytest

from examples import ports


def test_free_ports_are_different_and_can_be_listened_on() -> None:
    """Ports that are given out together do not collide, and nobody listens on them."""
    found = ports.free_ports(20)
    assert len(set(found)) == 20
    for port in found:
        socket.create_server(("127.0.0.1", port)).close()


def test_free_port_is_none_that_an_outgoing_connection_may_take() -> None:
    """The kernel's own range is left alone: a client elsewhere on the machine could take one before we listen."""
    assert max(ports.free_ports(50)) < ports._first_ephemeral()


def test_free_port_passes_over_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that somebody listens on is not given out, and when there is no other that is an error."""
    taken = ports.free_port()
    with socket.create_server(("127.0.0.1", taken)):
        monkeypatch.setattr(ports, "_given", set(range(10_000, 65_536)) - {taken})
        with pytest.raises(OSError, match="no free port"):
            ports.free_port()

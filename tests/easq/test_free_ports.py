"""A port that is free when it is chosen is free when it is bound."""

import socket

import pytest

from easq import free_ports as module
from easq.free_ports import free_ports


def test_ports_differ_lie_in_the_range_and_can_be_bound():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert set(ports) <= set(module._range())
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_somebody_listens_on_is_not_among_them(host, monkeypatch):
    one, other = free_ports(2)
    monkeypatch.setattr(module, "_range", lambda: sorted((one, other)))
    with socket.create_server((host, one)):
        assert free_ports(1) == [other]
        with pytest.raises(OSError, match="only 1 of 2 ports are free"):
            free_ports(2)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("32768\t60999\n", range(20_000, 30_000)),
        ("25000 60999", range(20_000, 25_000)),
        ("1024 65535", range(20_000, 30_000)),
    ],
)
def test_the_range_ends_where_the_systems_own_begins(own, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SYSTEMS_OWN", tmp_path / "range")
    (tmp_path / "range").write_text(own)
    assert module._range() == expected

"""A free port stays free until its server listens."""

import socket
from pathlib import Path

from local_cloud.ports import free_port


def test_no_port_is_given_that_linux_may_give_to_a_connection():
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert free_port() < first


def test_ports_that_are_not_bound_yet_are_not_given_twice():
    ports = [free_port() for _ in range(100)]

    assert len(set(ports)) == 100


def test_a_port_that_is_taken_is_passed_over():
    with socket.create_server(("127.0.0.1", free_port() + 1)) as taken:
        assert free_port() != taken.getsockname()[1]

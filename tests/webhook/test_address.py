from ipaddress import ip_network

import pytest

from webhook.address import come_from, neighbourhood

PROXIES = [ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # no proxy of ours
        ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "1.1.1.1, 198.51.100.7", "198.51.100.7"),  # the client wrote the first
        ("127.0.0.1", "198.51.100.7, 10.1.2.3", "198.51.100.7"),  # two proxies of ours
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.7, <script>", "127.0.0.1"),
        ("127.0.0.1", ",,", "127.0.0.1"),
        ("", "198.51.100.7", ""),  # a Unix socket
    ],
)
def test_forwarded_address_counts_as_far_as_our_proxies_wrote_it(peer, forwarded, address):
    assert come_from(peer, forwarded, PROXIES) == address


def test_nobody_is_believed_unless_configured():
    assert come_from("127.0.0.1", "198.51.100.7", []) == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_site_counts_as_one(address, counted):
    assert neighbourhood(address) == counted

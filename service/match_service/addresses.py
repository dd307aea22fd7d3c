"""Which hosts and addresses may be fetched from: the rules alone, without asking anybody."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Addresses that hold an IPv4 address inside: what they lead to is judged as well.
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL: Final = ipaddress.ip_network("64:ff9b:1::/48")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
# Reached by the cloud's own machines only, though registered as global.
_PLATFORM: Final = (ipaddress.ip_network("168.63.129.16/32"), ipaddress.ip_network("192.88.99.0/24"))


def is_public(address: Address) -> bool:
    """Whether ``address`` is an ordinary host of the internet, whatever form it is written in."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None or address in _NAT64_LOCAL or address.is_site_local:
            return False
        inner = _embedded(address)
        if inner is not None and not is_public(inner):
            return False
        if address.ipv4_mapped is not None or address in _NAT64:
            return True
    if any(address in network for network in _PLATFORM):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def normal_host(host: str) -> str:
    """``host`` as names are compared: lower case, punycode, without the root's dot."""
    return host.encode("idna").decode("ascii").lower().removesuffix(".")


@dataclass(frozen=True, slots=True)
class HostList:
    """Hosts by name, by domain and by network."""

    names: frozenset[str] = frozenset()
    domains: tuple[str, ...] = ()
    """Each with a leading dot; all names below match."""
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, items: Iterable[str]) -> "HostList":
        """From ``example.com``, ``*.example.com`` and ``192.0.2.0/24``; ``ValueError`` for anything else."""
        names: set[str] = set()
        domains: list[str] = []
        networks: list[Network] = []
        for item in items:
            try:
                networks.append(ipaddress.ip_network(item.strip("[]")))
                continue
            except ValueError:
                name = item.removeprefix("*")
            if "*" in name or "/" in name or ":" in name or not name.strip("."):
                raise ValueError(item)
            if name.startswith("."):
                domains.append("." + normal_host(name[1:]))
            else:
                names.add(normal_host(name))
        return cls(frozenset(names), tuple(domains), tuple(networks))

    def __bool__(self) -> bool:
        return bool(self.names or self.domains or self.networks)

    def has_host(self, host: str) -> bool:
        """Whether a name, as ``normal_host`` gives it, is listed."""
        return host in self.names or any(host.endswith(domain) for domain in self.domains)

    def has_address(self, address: Address) -> bool:
        """Whether ``address`` is in a listed network, also as the IPv4 address inside an IPv6 one."""
        inner = _embedded(address) if isinstance(address, ipaddress.IPv6Address) else None
        return any(one in network for one in (address, inner) if one is not None for network in self.networks)


def is_local(url: str) -> bool:
    """Whether the URL's host is this machine's loopback."""
    try:
        name = (urlsplit(url).hostname or "").removesuffix(".")
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

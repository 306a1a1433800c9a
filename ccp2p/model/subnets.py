"""Subnets, as far as they tell owners of addresses apart."""

import ipaddress


def subnet_of_host(host: str) -> str:
    """What one owner easily has many addresses in: /16 of IPv4, /32 of IPv6 (RIRs hand these out).

    Names share one subnet: whoever owns a domain makes any number of them.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "name"
    return f"{address.version}/{int(address) >> (16 if address.version == 4 else 96):x}"

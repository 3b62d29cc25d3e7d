"""For whom a page on this machine answers: a guard against names elsewhere that lead here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection


def may_answer(host: str, hosts: Collection[str], *, loopback: bool) -> bool:
    """Whether a request for `host`, as its header says, is meant for this server.

    >>> [may_answer(host, (), loopback=True) for host in ("[::1]:80", "localhost", "10.0.0.1")]
    [True, True, False]
    """
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:[0-9]{1,5})?", host)
    name = found[1].lower().removesuffix(".") if found else ""
    if name == "localhost" or name in hosts:
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or not loopback

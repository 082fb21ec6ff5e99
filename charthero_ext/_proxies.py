"""Finds the proxy that the environment names for a host."""

from __future__ import annotations

import os
from urllib.request import getproxies, proxy_bypass

from attrs import frozen

from charthero_ext._secret import Secret

__all__ = ["EnvironmentProxy", "environment_proxy"]


@frozen
class EnvironmentProxy:
    """A proxy, and the variable that names it. The URL may contain a password."""

    variable: str
    url: Secret[str]


def environment_proxy(scheme: str, host: str, port: int | None) -> EnvironmentProxy | None:
    """Return the proxy that the environment names for a host, or None if the connection is direct."""
    proxies = Secret(getproxies())
    proxy = Secret(proxies.reveal().get(scheme) or proxies.reveal().get("all"))
    if not proxy.reveal() or proxy_bypass(host if port is None else f"{host}:{port}"):
        return None
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    variable = next((name for name in names if os.environ.get(name)), "the proxy of the system")
    has_scheme = "://" in (proxy.reveal() or "")
    return EnvironmentProxy(variable, Secret(f"{'' if has_scheme else 'http://'}{proxy.reveal()}"))

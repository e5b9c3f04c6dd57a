"""A network and a token for Ray, whose servers listen on all addresses of a machine.

For programs that are run by `unshare --net --map-root-user`: there is nothing but loopback then.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import struct
from pathlib import Path

GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1


def loopback_up() -> None:
    """In a fresh network there is nothing but a loopback that is down."""
    names = [name for _, name in socket.if_nameindex()]
    if names != ["lo"]:
        raise SystemExit(f"not in a network of its own, here are {names}: see --help")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        ask = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, GET_FLAGS, ask))[1]
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", flags | UP))


def token_for_ray(folder: Path) -> None:
    """What Ray asks of who calls, made for this run. Ray reads it when it is imported."""
    token = folder / "token"
    token.touch(0o600)
    token.write_text(secrets.token_hex(32))
    os.environ |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
    }

"""What a server listens with: TLS on its port, and a Unix socket for its own user."""

from __future__ import annotations

import os
import socket
import ssl
import stat
from contextlib import suppress
from pathlib import Path

from .settings import Tls

__all__ = ["listen_unix", "make_context"]

_MODES = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def make_context(tls: Tls) -> ssl.SSLContext:
    """Return what ends TLS at our port; what is wrong with the files is said here, not at the first connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_ca:
            context.load_verify_locations(tls.client_ca)
    except (OSError, ssl.SSLError) as error:
        raise RuntimeError(f"the certificates of the server cannot be used: {error}") from error
    context.verify_mode = _MODES[tls.client_certificates]
    if context.verify_mode is not ssl.CERT_NONE:
        # Without tickets no client comes back on the word of a certificate that has expired since.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


def listen_unix(path: Path) -> socket.socket:
    """Listen on a socket that only our own user may open; one that a dead process left is replaced."""
    _remove_dead(path)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)  # it is never open to others, not even for a moment
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise RuntimeError(f"could not listen on {path}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    listener.listen(2048)
    listener.setblocking(False)
    return listener


def _remove_dead(path: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise RuntimeError(f"could not listen on {path}: it is something else")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise RuntimeError(f"could not listen on {path}: somebody does already")
        path.unlink()

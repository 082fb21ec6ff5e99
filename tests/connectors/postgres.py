"""A PostgreSQL server of its own for the tests, on a loopback port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: PostgreSQL does not run as root, so root starts it as the user of Debian's package.
AS_USER = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []


def programs() -> Path | None:
    """The directory of ``initdb`` and ``pg_ctl``, which Debian keeps out of PATH."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return places[-1] if places and (places[-1] / "initdb").exists() else None


def why_not() -> str | None:
    """Why no server can be started here; None if one can."""
    if programs() is None:
        return "needs PostgreSQL's server programs: apt-get install postgresql"
    if subprocess.run([*AS_USER, "id", "--user", "--name"], capture_output=True, check=False).returncode:
        return "PostgreSQL's user cannot look up its own name; is /etc/passwd readable for all?"
    return None


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """Start a server, and give the URL of its database."""
    if AS_USER:
        shutil.chown(directory, "postgres", "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [*AS_USER, str(directory_of_programs / program), "-D", str(directory / "data"), *arguments]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    directory_of_programs = programs()
    assert directory_of_programs is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={directory} -c fsync=off"
    run("initdb", "--auth=trust", "--username=synthetic", "--no-sync")
    run("pg_ctl", "--wait", "--log", str(directory / "log"), "-o", options, "start")
    try:
        yield f"postgresql://synthetic:none@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "--mode=immediate", "stop")


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory that another user can own: pytest's are inside one that only this user may enter."""
    directory = Path(tempfile.mkdtemp())
    yield directory
    shutil.rmtree(directory, ignore_errors=True)

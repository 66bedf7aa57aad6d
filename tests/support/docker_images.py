"""Images for tests, built from what this machine has: nothing is ever pulled."""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import docker

__all__ = [
    "BUSYBOX",
    "COMPILED",
    "EMPTY",
    "PYTHON",
    "SCIENCE",
    "find_busybox",
    "import_image",
    "make_busybox_tar",
    "make_compiled_image",
    "make_images",
    "make_python_tar",
    "make_science_image",
    "make_server_image",
]

BUSYBOX = "shunter-test/busybox:1"
"""A shell and its usual commands; no Python."""
PYTHON = "shunter-test/python:1"
"""The same, and the Python that runs the tests, as `python3`."""
COMPILED = "shunter-test/compiled:1"
"""The same, but the Python's library is compiled; made by `make_compiled_image` where it is needed."""
EMPTY = "shunter-test/empty:1"
"""One file: there is not even a shell."""

SCIENCE = "shunter-test/science:1"
"""Python with scikit-learn, as it is beside the tests; made by `make_science_image` where a test needs it."""

_SCIENCE = (
    "cloudpickle",
    "joblib",
    "narwhals",
    "numpy",
    "numpy.libs",
    "scikit_learn.libs",
    "scipy",
    "scipy.libs",
    "sklearn",
    "threadpoolctl.py",
)

_LEFT_OUT = {
    *("__pycache__", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tkinter", "turtledemo"),
    f"config-{sys.version_info[0]}.{sys.version_info[1]}-{platform.machine()}-linux-gnu",
}
"""Of Python's library; no test runs it in a container."""
_ACCOUNTS = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
}
_POSTGRES_USER = {"etc/passwd": b"postgres:x:999:999:postgres:/tmp:/bin/sh\n", "etc/group": b"postgres:x:999:\n"}
_ENV = "ENV PATH=/usr/bin:/bin"
_SITE = f"usr/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def find_busybox() -> str | None:
    """Return the path of a BusyBox that needs no libraries, or None where there is none."""
    return shutil.which("busybox")


def import_image(client: docker.APIClient, name: str, archive: bytes, *changes: str) -> None:
    """Make an image out of the files of a tar archive; *changes* are lines of a Dockerfile."""
    repository, _, tag = name.rpartition(":")
    client.import_image_from_data(archive, repository=repository, tag=tag, changes=list(changes) or None)


def make_images(client: docker.APIClient) -> None:
    """Make all three; it takes about a second."""
    import_image(client, EMPTY, _archive({"etc/nothing": b"\n"}, {}), 'CMD ["/none"]')
    import_image(client, BUSYBOX, make_busybox_tar(), _ENV, 'CMD ["/bin/sh"]')
    import_image(client, PYTHON, make_python_tar(), _ENV, 'CMD ["/usr/bin/python3"]')


def make_compiled_image(client: docker.APIClient) -> None:
    """Make the image with Python again, its library compiled as `python3 -m compileall` leaves it; it takes seconds."""
    line = "python3 -m compileall -q \"$(python3 -c 'import os; print(os.path.dirname(os.__file__))')\""
    container = client.create_container(PYTHON, ["/bin/sh", "-c", line], network_disabled=True)
    client.start(container)
    client.wait(container)
    repository, _, tag = COMPILED.rpartition(":")
    client.commit(container, repository=repository, tag=tag)
    client.remove_container(container)


def make_science_image(client: docker.APIClient) -> None:
    """Make the image with scikit-learn; it takes some seconds."""
    packages = Path(sysconfig.get_path("purelib"))
    found = [path for name in _SCIENCE for path in _files(packages / name)]
    files = {f"{_SITE}/{path.relative_to(packages)}": path for path in found}
    files |= _libraries([path for path in found if ".so" in path.suffixes])
    own = {path: at for path, at in files.items() if not path.startswith(str(packages).lstrip("/"))}
    import_image(client, SCIENCE, make_python_tar(own), _ENV, 'CMD ["/usr/bin/python3"]')


def make_server_image(client: docker.APIClient, name: str, programs: Mapping[str, Path], postgres: Path) -> None:
    """Make an image with *programs* that need no libraries, and the PostgreSQL that is installed at *postgres*."""
    data = (Path("/usr/share/postgresql"), Path("/usr/share/zoneinfo"))
    found = [path for place in (postgres, *data) for path in _files(place)]
    files = {str(path).lstrip("/"): path for path in found} | dict(programs) | _commands()
    files |= _libraries([path for path in found if path.parent.name == "bin" or ".so" in path.suffixes])
    accounts = {name: text + _POSTGRES_USER[name] for name, text in _ACCOUNTS.items()}
    import_image(client, name, _archive(accounts, files), _ENV, 'CMD ["/bin/sh"]')


def _files(place: Path) -> Iterator[Path]:
    """Return a file, or those of a folder that a program needs."""
    if place.is_file():
        yield place
    for path in place.rglob("*"):
        if path.is_file() and not {"tests", "__pycache__"}.intersection(path.relative_to(place).parts):
            yield path


@cache
def make_busybox_tar() -> bytes:
    """Return the files of the image without Python."""
    return _archive(_ACCOUNTS, _commands())


def make_python_tar(more: Mapping[str, Path] | None = None) -> bytes:
    """Return the files of the image with Python: the interpreter that runs this, what it is linked to, its library."""
    library = Path(sysconfig.get_path("stdlib"))
    program = Path(sys.base_prefix, "bin", library.name)
    linked = [program, *library.glob("lib-dynload/*.so")]
    files = {**_commands(), f"usr/bin/{library.name}": program, **_libraries(linked)}
    files |= {f"usr/lib/{library.name}/{path.relative_to(library)}": path for path in _modules(library)}
    return _archive(_ACCOUNTS, {**files, **(more or {})}, links={"usr/bin/python3": library.name})


def _modules(library: Path) -> Iterator[Path]:
    for path in library.rglob("*"):
        if path.is_file() and not _LEFT_OUT.intersection(path.relative_to(library).parts):
            yield path


def _libraries(binaries: list[Path]) -> dict[str, Path]:
    """Return the shared libraries of *binaries* by where they have to lie."""
    said = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    words = {word for line in said.splitlines() if line.startswith("\t") for word in line.split() if word[0] == "/"}
    return {word.lstrip("/"): Path(word).resolve() for word in words}


def _commands() -> dict[str, Path]:
    busybox = find_busybox()
    if busybox is None:
        raise RuntimeError("busybox is not installed")
    return {"bin/busybox": Path(busybox)}


def _archive(texts: Mapping[str, bytes], files: Mapping[str, Path], links: Mapping[str, str] | None = None) -> bytes:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        for name, mode in (("tmp", 0o1777), ("root", 0o755), ("etc", 0o755), ("bin", 0o755), ("usr/bin", 0o755)):
            _add(archive, name, mode, kind=tarfile.DIRTYPE)
        for name, text in texts.items():
            _add(archive, name, 0o644, text)
        for name, path in files.items():
            _add(archive, name, 0o755 if path.stat().st_mode & 0o100 else 0o644, path.read_bytes())
        for name, target in {**(links or {}), **(_applets() if "bin/busybox" in files else {})}.items():
            _add(archive, name, 0o777, kind=tarfile.SYMTYPE, target=target)
    return into.getvalue()


def _applets() -> dict[str, str]:
    said = subprocess.run([str(find_busybox()), "--list"], capture_output=True, text=True, check=True).stdout
    return {f"bin/{name}": "busybox" for name in said.split() if name != "busybox"}


def _add(
    archive: tarfile.TarFile,
    name: str,
    mode: int,
    text: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    target: str = "",
) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.linkname, info.size = mode, kind, target, len(text)
    archive.addfile(info, io.BytesIO(text))

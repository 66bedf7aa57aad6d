"""Jobs that must not be let in; each names the field that is to be blamed."""

from __future__ import annotations

from typing import Any

from .entry import Entry, How

__all__ = ["ENTRIES"]

_INVALID = frozenset({422})


def _job(name: str, attacks: str, place: str, /, **fields: Any) -> Entry:
    value = {**({} if {"argv", "script"} & set(fields) else {"argv": ["true"]}), **fields}
    return Entry(name, attacks, How.JOB, value, place=place, status=_INVALID)


def _inputs(*items: dict[str, Any]) -> list[dict[str, Any]]:
    return list(items)


def _path(name: str, source: str) -> tuple[Entry, Entry]:
    return (
        _job(f"input: {name}", "the files of others", "inputs.0.source", inputs=[{"source": source}]),
        _job(f"output: {name}", "the files of the node", "outputs.0.path", outputs=[{"path": source}]),
    )


_PATHS = (
    *_path("empty", ""),
    *_path("dot", "."),
    *_path("climbing", "../../etc/passwd"),
    *_path("climbing in the middle", "a/../../b"),
    *_path("absolute", "/etc/passwd"),
    *_path("UNC", "\\\\server\\share"),
    *_path("newline", "a\nb"),
    *_path("NUL", "a\x00b"),
    *_path("RTL override", "a\u202etxt.exe"),
    *_path("line separator", "a\u2028b"),
    *_path("C1 control", "a\x9bb"),
    *_path("lone surrogate", "a\ud800"),
    *_path("64 KB", "a" * 65_536),
    *_path("a name of 256 bytes", "a/" + "é" * 128),
)

_NUMBERS = (
    *(_job(f"cpus {value}", "the room", "resources.cpus", resources={"cpus": value}) for value in (0, -1, 1e9, True)),
    *(_job(f"nodes {value}", "the room", "resources.nodes", resources={"nodes": value}) for value in (0, -1, 2**63)),
    *(
        _job(f"processes {value}", "the room", "resources.processes", resources={"processes": value})
        for value in (0, -1, 1.5, 10**9)
    ),
    *(
        _job(f"memory {value}", "the room", "resources.memory", resources={"memory": value})
        for value in (0, -1, 2**63, "1e999", "-5GiB", "much")
    ),
    *(
        _job(f"GPUs {value}", "the room", "resources.gpus.count", resources={"gpus": {"count": value}})
        for value in (-1, 0.0001, 10**9, True, 2)
    ),
    *(
        _job(f"walltime {value}", "timers", "resources.walltime", resources={"walltime": value})
        for value in (0, -1, 1e12, "P9999999999Y", "soon", "999999999999d")
    ),
    *(_job(f"retries {value}", "loops", "retries.max", retries={"max": value}) for value in (-1, 10**9, "x", True)),
    *(
        _job(f"backoff {value}", "timers", "retries.backoff", retries={"backoff": value})
        for value in (-1, 1e12, "99999999999999999999h")
    ),
)

_TYPES = tuple(
    _job(f"{field} of a wrong type", "conversions", field, **{field: {"\x00": [1]}})
    for field in ("name", "project", "argv", "script", "image", "inputs", "outputs", "hold")
)

ENTRIES = (
    *_PATHS,
    *_NUMBERS,
    *_TYPES,
    _job("unknown field", "silent slips", "cpus", cpus=4),
    _job("unknown field, deep", "silent slips", "resources.cores", resources={"cores": 4}),
    _job("somebody else's owner", "property writes", "owner", owner="admin"),
    _job("a state of its own", "property writes", "state", state="succeeded"),
    _job("neither argv nor script", "the runner", "body", argv=None, script=None),
    _job("both argv and script", "the runner", "body", argv=["true"], script="true"),
    _job("no arguments", "the runner", "argv", argv=[]),
    _job("an empty program", "the runner", "argv", argv=[""]),
    _job("NUL in an argument", "C strings", "argv", argv=["a\x00b"]),
    _job("lone surrogate in an argument", "programs", "argv.0", argv=["\ud800"]),
    _job("an argument of 128 KiB", "execve", "argv", argv=["x" * 131_072]),
    _job("an argument of 128 KiB in two-byte characters", "execve", "argv", argv=["é" * 66_000]),
    _job("2 MB of arguments", "execve", "body", argv=["x" * 100_000] * 20),
    _job("100,001 arguments", "execve", "argv", argv=["x"] * 100_001),
    _job("NUL in a script", "C strings", "script", script="echo \x00"),
    _job("a script of 10 MB", "messages", "script", script="#" * 10_000_000),
    _job("an empty script", "the runner", "script", script=""),
    _job("variable with =", "the environment", "env", env={"A=B": "1"}),
    _job("variable with a newline", "the environment", "env", env={"A\n": "1"}),
    _job("variable without a name", "the environment", "env", env={"": "1"}),
    _job("variable of 64 KB name", "the environment", "env", env={"A" * 65_536: "1"}),
    _job("NUL in a variable", "C strings", "env", env={"A": "\x00"}),
    _job("a variable of 128 KiB", "execve", "env", env={"A": "x" * 131_071}),
    _job("Shunter's own variable", "the runner", "env", env={"SHUNTER_TOKEN": "x"}),
    _job("1,001 variables", "the environment", "env", env={f"A{n}": "" for n in range(1001)}),
    _job("name with a slash", "paths", "name", name="a/b"),
    _job("name with a newline", "logs", "name", name="a\nb"),
    _job("name with an escape", "terminals", "name", name="\x1b[2Ja"),
    _job("name that turns round", "the eye", "name", name="a\u202eb"),
    _job("name of 64 KB", "columns", "name", name="a" * 65_536),
    _job("empty name", "lists", "name", name=""),
    _job("project with wildcards", "subjects", "project", project="*.>"),
    _job("project of others", "the bill", "project", project="not-mine"),
    _job("label that is no word", "queries", "labels", labels={"$(id)": "x"}),
    _job("label with NUL", "PostgreSQL", "labels", labels={"a": "\x00"}),
    _job("65 labels", "rows", "labels", labels={f"a{n}": "" for n in range(65)}),
    _job("image with credentials", "logs", "image", image="user:secret@registry.test/a:1"),
    _job("image as a URL", "fetching", "image", image="http://[::ffff:127.0.0.1]/a"),
    _job("image with a newline", "command lines", "image", image="a\n--privileged"),
    _job("image where none is run", "the backend", "image", image="python:3.11"),
    _job("unknown backend", "placement", "placement.backend", placement={"backend": "nowhere"}),
    _job("backend with wildcards", "subjects", "placement.backend", placement={"backend": "*"}),
    _job("missing input", "staging", "inputs.0.source", inputs=[{"source": "no/such/file"}]),
    _job("100,000 inputs", "messages", "inputs", inputs=[{"source": "a"}] * 100_000),
    _job("two inputs in one place", "staging", "body", inputs=_inputs({"source": "a"}, {"source": "b", "path": "a"})),
    _job(
        "an input that is a folder too",
        "staging",
        "body",
        inputs=_inputs({"source": "a"}, {"source": "b", "path": "a/b"}),
    ),
    _job("a pattern that is none", "globs", "outputs.0.path", outputs=[{"path": "a**b"}]),
    _job("a pattern of ten **", "globs", "outputs.0.path", outputs=[{"path": "**/a/" * 10 + "b"}]),
    _job("1,001 patterns", "globs", "outputs", outputs=[{"path": "a"}] * 1001),
)

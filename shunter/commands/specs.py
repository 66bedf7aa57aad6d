"""Making job specs of YAML documents and of options; whatever is wrong is said before anything is sent."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contracts.batches import BatchSpec, jobs_of, order_of
from contracts.documents import Document, checked, read_documents
from contracts.errors import InvalidError
from contracts.spec import JobSpec

__all__ = ["merge", "pairs", "read_file", "read_inputs", "to_batch", "to_spec"]


def read_file(file: str) -> list[Document]:
    """Read the YAML (or JSON) documents of a file; `-` is the standard input."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError(f"{file} is not UTF-8") from error
    return read_documents(text, file)


def to_spec(value: Mapping[str, Any], document: Document | None = None) -> JobSpec:
    """Check a spec; unknown and wrong fields are named."""
    return checked(JobSpec, value, "the spec", document)


def to_batch(documents: Sequence[Document], options: Mapping[str, Any]) -> BatchSpec | None:
    """Return the batch that a file means: `jobs:`, or documents that have keys; none if it is single jobs.

    Options apply to every job, and a name to the batch.
    """
    if any("jobs" in document.value for document in documents):
        if len(documents) != 1:
            raise InvalidError("a file with `jobs:` is one document")
        value = documents[0].value
    elif any("key" in document.value for document in documents):
        value = {"jobs": [document.value for document in documents]}
    else:
        return None
    options = dict(options)
    if "argv" in options or "application" in options:
        raise InvalidError("a file with several jobs says itself what they run")
    named = {"name": options.pop("name")} if "name" in options else {}
    jobs = value["jobs"]
    if options and isinstance(jobs, list):
        jobs = [_with_options(job, options) if isinstance(job, dict) else job for job in jobs]
    # Of several documents none holds all the others: their fields are named without lines.
    place = documents[0] if "jobs" in documents[0].value else None
    spec = checked(BatchSpec, {**value, **named, "jobs": jobs}, "the batch", place)
    order_of(spec.jobs)
    jobs_of("", spec)  # only to see whether anything speaks against it
    return spec


def _with_options(job: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Lay options over a job of a batch; what all wait for comes to what this one waits for."""
    known = job.get("after")
    if isinstance(known, list) and "after" in options:
        options = {**options, "after": [*known, *options["after"]]}
    return merge(job, options)


def merge(document: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Lay what was given as options over a document; mappings are merged, all else replaces."""
    merged = dict(document)
    for name, value in options.items():
        known = merged.get(name)
        merged[name] = merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def pairs(values: Sequence[str], option: str) -> dict[str, str]:
    """Read `K=V` options."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not equals or not name:
            raise InvalidError.of(option, f"{value!r} is not of the form K=V")
        found[name] = rest
    return found


def read_inputs(values: Sequence[str]) -> list[dict[str, Any]]:
    """Read `source[:target]` options; a source that ends with `/` is a folder."""
    found = []
    for value in values:
        source, colon, target = value.partition(":")
        one: dict[str, Any] = {"source": source, "path": target} if colon else {"source": source}
        found.append({**one, "folder": True} if source.endswith("/") else one)
    return found

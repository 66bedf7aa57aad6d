"""Examples about mail that OpenAPI shows; a test holds each against its model."""

from __future__ import annotations

from typing import Any

from fastapi.openapi.models import Example

__all__ = ["PAGE", "STANDING", "WISHES"]

STANDING: dict[str, Any] = {
    "sends": True,
    "address": "ada@example.org",
    "opted_out": False,
    "changed_at": None,
}

WISHES: dict[str, Example] = {
    "off": Example(summary="No mail about my jobs", value={"opted_out": True}),
    "on": Example(summary="As my jobs say", value={"opted_out": False}),
}

PAGE = "<!doctype html><html lang=en><title>Mail</title><p>Mail to ada@example.org: ...</html>"

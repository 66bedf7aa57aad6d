"""`/docs`: the API on one page, made from its OpenAPI document; it needs no network and runs no script."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from services.gateway.lean import Router

__all__ = ["POLICY", "reference_page", "render_reference"]

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de}details{border:1px solid #d0d7de;border-radius:6px;margin:.5rem 0}
summary{padding:.5rem .8rem;cursor:pointer}section{padding:0 .8rem .8rem}code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:#f6f8fa;padding:.7rem;overflow:auto;border-radius:6px}b.m{display:inline-block;width:4.2rem;color:#0550ae}
td,th{text-align:left;vertical-align:top;padding:.15rem 1rem .15rem 0}small{color:#57606a}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}pre{background:#161b22}b.m{color:#79c0ff}
h2,details{border-color:#30363d}small{color:#8d96a0}a{color:#79c0ff}}
"""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""What a browser may do with the page."""


def reference_page() -> APIRouter:
    """Return the route of the page."""
    router = Router()

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        page = render_reference(request.app.openapi())
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    return router


def render_reference(document: dict[str, Any], *, source: str = "/openapi.json") -> str:
    """Write an OpenAPI document as a page; *source* is where programs find it."""
    info = document["info"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])} API</title>",
        f"<style>{_STYLE}</style><h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>",
        *(f"<p>{escape(text)}</p>" for text in info["description"].split("\n\n")),
        f'<p>For programs: <a href="{escape(source)}">openapi.json</a></p>',
    ]
    for tag in document["tags"]:
        parts.append(f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>")
        parts += [
            _operation(method, path, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if tag["name"] in operation.get("tags", [])
        ]
    return "".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    return (
        f"<details id={escape(operation['operationId'])}><summary><b class=m>{method.upper()}</b> "
        f"<code>{escape(path)}</code>: {escape(operation['summary'])}</summary><section>"
        f"<p>{escape(operation.get('description', ''))}</p>{_parameters(operation)}{_body(operation)}"
        f"{_responses(operation)}</section></details>"
    )


def _parameters(operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(item['name'])}</code><td>{escape(item['in'])}"
        f"<td>{'required' if item.get('required') else 'optional'}<td>{escape(item.get('description', ''))}"
        for item in operation.get("parameters", [])
    )
    return f"<table><tr><th>parameter<th>in<th><th>{rows}</table>" if rows else ""


def _body(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    examples = [
        f"<p>{escape(example['summary'])}</p>{_pre(example['value'])}"
        for kind in content.values()
        for example in kind.get("examples", {}).values()
    ]
    return f"<h4>Body: {escape(', '.join(content))}</h4>{''.join(examples)}" if content else ""


def _responses(operation: dict[str, Any]) -> str:
    parts = []
    for code, response in operation["responses"].items():
        parts.append(f"<div><code>{escape(code)}</code> {escape(response['description'])}</div>")
        if code.startswith("2"):
            contents = response.get("content", {}).values()
            parts += [_pre(kind["example"]) for kind in contents if "example" in kind]
    return f"<h4>Answers</h4>{''.join(parts)}"


def _pre(example: object) -> str:
    text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    return f"<pre>{escape(text)}</pre>"

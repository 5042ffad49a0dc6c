"""Render an OpenAPI description as an HTML page without scripts and without other hosts, which the usual viewers need."""

from __future__ import annotations

from html import escape
from typing import Any

_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: HTTP interface</title></head><body><main>
<h1>{title} {version}: HTTP interface</h1><p>{summary} Machine-readable: <a href="./openapi.json">openapi.json</a>.</p>
{body}</main></body></html>
"""


def page_of(schema: dict[str, Any]) -> str:
    """Return `schema`, an OpenAPI document, as HTML."""
    operations = (
        _operation(method, path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    )
    info = {key: escape(schema["info"].get(key, "")) for key in ("title", "version", "summary")}
    return _FRAME.format(body="\n".join(operations), **info)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"<h2><code>{method.upper()} {escape(path)}</code></h2>"]
    parts.append(f"<p>{escape(operation.get('summary', ''))}. {escape(operation.get('description', ''))}</p>")
    if operation.get("parameters"):
        options = ((one["name"], _type(one.get("schema", {})), _text(one)) for one in operation["parameters"])
        parts.append(_table(("option", "type", "meaning"), options))
    bodies = operation.get("requestBody", {}).get("content", {})
    if bodies:
        rows = ((kind, one["schema"].get("description", "")) for kind, one in bodies.items())
        parts.append(_table(("type of the body", "meaning"), rows))
    answers = operation.get("responses", {}).items()
    parts.append(_table(("status", "meaning"), ((status, answer.get("description", "")) for status, answer in answers)))
    return "\n".join(parts)


def _text(parameter: dict[str, Any]) -> str:
    return str(parameter.get("description") or parameter.get("schema", {}).get("description", ""))


def _type(schema: dict[str, Any]) -> str:
    for one in schema.get("anyOf", [schema]):
        if one.get("type") == "null":
            continue
        if "minimum" in one and "maximum" in one:
            return f"{one.get('type')} {one['minimum']:g}..{one['maximum']:g}"
        return str(one.get("type") or "one of the formats")
    return ""


def _table(head: tuple[str, ...], rows: Any) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr></thead><tbody>{cells}</tbody></table>"

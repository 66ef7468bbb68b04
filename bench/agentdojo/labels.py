"""Reads `labels/SUITE.yaml`; what it means is in `labels/README.md`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from suites import output_schema, suite

_HERE = Path(__file__).parent
_KEYS = {"effect", "risk", "returns", "content", "recipients", "readers", "url"}
_EFFECTS = {"pure", "irreversible"}


@dataclass(frozen=True)
class Labels:
    """What is said of one tool."""

    effect: str
    risk: str
    trust: dict[str, str]
    """`attested` or `untrusted`, by JSONPath in the result."""
    content: list[str]
    recipients: list[str] | None
    """Arguments that name who reads the content; `None`: no argument does."""
    readers: list[str]
    url: list[str]


@cache
def labels(name: str) -> dict[str, Labels]:
    """The labels of a suite's tools, by name. Each tool has some, and each field of a result has one."""
    said = yaml.safe_load((_HERE / "labels" / f"{name}.yaml").read_text(encoding="utf-8"))
    tools = {tool.name: tool for tool in suite(name).tools}
    if missing := tools.keys() ^ said["tools"].keys():
        raise ValueError(f"labels/{name}.yaml and the suite differ in {sorted(missing)}")
    shapes = said.get("shapes", {})
    return {tool: _labels(name, tools[tool], words, shapes) for tool, words in said["tools"].items()}


def _labels(name: str, tool: Any, words: dict[str, Any], shapes: dict[str, Any]) -> Labels:
    arguments = set(tool.parameters.model_fields)
    named = {argument for key in ("content", "recipients", "url") for argument in words.get(key) or []}
    if unknown := (words.keys() - _KEYS) | (named - arguments):
        raise ValueError(f"labels/{name}.yaml: {tool.name} has no {sorted(unknown)}")
    if words["effect"] not in _EFFECTS:
        raise ValueError(f"labels/{name}.yaml: {tool.name}: {words['effect']} is no effect class of this file")
    return Labels(
        effect=words["effect"],
        risk=words.get("risk", "normal"),
        trust=_trust(f"labels/{name}.yaml: {tool.name}", output_schema(tool), words["returns"], shapes),
        content=words.get("content", []),
        recipients=words.get("recipients"),
        readers=words.get("readers", []),
        url=words.get("url", []),
    )


def _trust(where: str, schema: dict[str, Any] | None, returns: Any, shapes: dict[str, Any]) -> dict[str, str]:
    if returns in ("attested", "untrusted"):
        return {"$": returns}
    shape, at = (returns[0], "$[*]") if isinstance(returns, list) else (returns, "$")
    attested, untrusted = (shapes[shape].get(word, []) for word in ("attested", "untrusted"))
    fields = _fields(schema or {}, isinstance(returns, list))
    if fields != sorted(attested + untrusted):
        raise ValueError(f"{where}: the shape {shape} names other fields than the result's schema, {fields}")
    # The list is the system's; so is an object, whose fields are named by the schema.
    return {"$": "attested"} | {f"{at}.{field}": "untrusted" for field in untrusted}


def _fields(schema: dict[str, Any], many: bool) -> list[str]:
    part = schema["items"] if many else schema
    while "$ref" in part:
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
    return sorted(part["properties"])

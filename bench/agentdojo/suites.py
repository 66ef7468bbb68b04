"""What the bench takes from AgentDojo, and nothing else: suites, their tools as MCP serves them, results as JSON.

AgentDojo: Debenedetti et al., 2024, https://arxiv.org/abs/2406.13352; package `agentdojo`, benchmark version v1.2.2.
"""

import json
from functools import cache
from typing import Any

from agentdojo.functions_runtime import Function
from agentdojo.task_suite.load_suites import get_suite
from agentdojo.task_suite.task_suite import TaskSuite
from pydantic import TypeAdapter

VERSION = "v1.2.2"
SUITES = ("workspace", "travel", "banking", "slack")

_ANY = TypeAdapter(Any)


@cache
def suite(name: str) -> TaskSuite:
    """The suite `name`, one of `SUITES`, in the benchmark's version `VERSION`."""
    return get_suite(VERSION, name)


def input_schema(tool: Function) -> dict[str, Any]:
    """JSON Schema of a tool's arguments, as AgentDojo tells it to models."""
    return tool.parameters.model_json_schema()


def output_schema(tool: Function) -> dict[str, Any] | None:
    """JSON Schema of what a tool returns, as far as its return annotation says it; `None` if it has none."""
    if tool.return_type is None:
        return None
    return TypeAdapter(tool.return_type).json_schema(mode="serialization")


def as_json(result: Any) -> str:
    """A result as the text that MCP carries: JSON of the value that the tool returned, unchanged. A text is a JSON text.

    Models, lists and dates become objects, arrays and ISO 8601, as `output_schema` says.
    """
    return json.dumps(_ANY.dump_python(result, mode="json"), ensure_ascii=False)

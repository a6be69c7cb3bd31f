"""The JSON schema of a verdict: `python -m torchport_checks.reports.schema > docs/verdict.schema.json`."""

from __future__ import annotations

import ast
import inspect
import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from torchport_checks import verdicts
from torchport_checks.verdicts import SCHEMA, Verdict

_NOT_FINITE = {"enum": ["NaN", "Infinity", "-Infinity"]}


class _Generator(GenerateJsonSchema):
    """Numbers that are not finite are strings, as the models write them."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {"anyOf": [super().float_schema(schema), _NOT_FINITE]}


def verdict_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of what `Verdict.model_dump_json` writes, with the models' docstrings."""
    schema = Verdict.model_json_schema(schema_generator=_Generator, mode="serialization")
    for name, definition in (*schema["$defs"].items(), ("Verdict", schema)):
        definition.pop("additionalProperties", None)  # new keys may come without a new version
        for attribute, text in _attribute_docs(name).items():
            if attribute in definition.get("properties", {}):
                definition["properties"][attribute]["description"] = text
    schema["properties"]["schema_version"] = {
        "const": SCHEMA,
        "description": "Raised with every change that a reader would notice.",
    }
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def schema_text() -> str:
    """The schema as the documentation holds it."""
    return json.dumps(verdict_schema(), indent=2, ensure_ascii=False) + "\n"


def _attribute_docs(name: str) -> dict[str, str]:
    """The strings below the attributes of a model.

    pydantic can read them itself, when the models are made; that would cost every start 0.07 s.
    """
    found: dict[str, str] = {}
    model = getattr(verdicts, name)
    body = ast.parse(inspect.getsource(model)).body[0]
    assert isinstance(body, ast.ClassDef)
    for statement, following in zip(body.body, body.body[1:], strict=False):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(id=attribute)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[attribute] = inspect.cleandoc(text).replace("\n", " ")
            case _:
                pass
    return found


if __name__ == "__main__":
    print(schema_text(), end="")

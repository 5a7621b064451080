"""Documents checked by the JSON Schemas beside this file, without a package for it: a device has none."""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_REMARKS = {"$schema", "$defs", "title", "description"}
# What these schemas use of JSON Schema. Another keyword is an error, so that none is passed over.
_KEYWORDS = {
    "$ref", "type", "const", "enum", "required", "properties", "additionalProperties", "items", "minimum", "pattern",
}  # fmt: skip


def fault(document: Any, schema: dict[str, Any]) -> str | None:
    """The first thing in which a JSON document does not follow a schema, `rows.0.fps: is no number`; None: it does.

    Raises:
        ValueError: the schema has a keyword that is not read here.
    """
    return next(iter(_faults(document, schema, schema, "")), None)


def _faults(value: Any, schema: dict[str, Any], root: dict[str, Any], where: str) -> list[str]:
    unknown = schema.keys() - _KEYWORDS - _REMARKS
    if unknown:
        raise ValueError(f"keyword of JSON Schema that is not read: {min(unknown)}")
    if "$ref" in schema:
        return _faults(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, where)
    at = where or "the document"
    kinds = schema.get("type", list(_TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(_is(value, kind) for kind in kinds):
        return [f"{at}: is no {' or '.join(kinds)}"]
    if "const" in schema and value != schema["const"]:
        return [f"{at}: is not {schema['const']!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: is none of {', '.join(map(str, schema['enum']))}"]
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return [f"{at}: does not match {schema['pattern']}"]
    if _is(value, "number") and not value >= schema.get("minimum", value):
        return [f"{at}: is below {schema['minimum']}"]
    found: list[str] = []
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += _faults(item, schema.get("items", {}), root, _below(where, index))
    if isinstance(value, dict):
        found += [f"{at}: has no '{key}'" for key in schema.get("required", ()) if key not in value]
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for key, item in value.items():
            if key in known:
                found += _faults(item, known[key], root, _below(where, key))
            elif others is False:
                found.append(f"{at}: has the unknown '{key}'")
            else:
                found += _faults(item, {} if others is True else others, root, _below(where, key))
    return found


def _is(value: Any, kind: str) -> bool:
    # A bool is an int to Python, not to JSON.
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _below(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)

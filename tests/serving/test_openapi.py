"""The OpenAPI document says what the server does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from segface_edge import __version__

from .running import GatedEngine, Running, picture, running

jsonschema = pytest.importorskip("jsonschema", reason="examples are checked with jsonschema")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(GatedEngine(is_open=True)) as found:
        yield found


@pytest.fixture(scope="module")
def document(server: Running) -> dict[str, Any]:
    reply = server.client.get("/openapi.json")
    assert reply.status_code == 200
    return dict(reply.json())


def check(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def resolved(part: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    found = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def test_it_is_of_this_version(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == __version__
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names) >= 13


def test_every_address_is_there_and_no_other(server: Running, document: dict[str, Any]) -> None:
    for path, method, _ in operations(document):
        address = path.replace("{model}", "segface").replace("{version}", "1")
        assert server.client.request(method, address).status_code not in (404, 405, 500), path
    from segface_edge.serving.inference import inference_routes
    from segface_edge.serving.settings import Settings

    routes = inference_routes(server.engine, None, None, Settings())  # type: ignore[arg-type]
    assert {route.path for route in routes} <= set(document["paths"])


def test_examples_are_what_their_schemas_say(document: dict[str, Any]) -> None:
    checked = 0
    for _, _, operation in operations(document):
        parts = [operation.get("requestBody", {}), *operation["responses"].values()]
        for part in (resolved(one, document) for one in parts):
            for content in part.get("content", {}).values():
                examples = [one["value"] for one in content.get("examples", {}).values()]
                examples += [content["example"]] if "example" in content else []
                for example in examples:
                    check(example, content.get("schema", {}), document)
                    checked += "schema" in content
    assert checked >= 20


def test_answers_are_what_the_document_says(server: Running, document: dict[str, Any]) -> None:
    answers = document["paths"]["/v1/parse"]["post"]["responses"]
    for query, status in (("", 200), ("?output=coco", 200), ("?output=pdf", 400)):
        reply = server.client.post(f"/v1/parse{query}", content=picture(48))
        assert reply.status_code == status
        check(reply.json(), resolved(answers[str(status)], document)["content"]["application/json"]["schema"], document)
    reply = server.client.get("/v2/models/segface").json()
    example = document["components"]["responses"]["Model"]["content"]["application/json"]["example"]
    assert set(reply) == set(example)
    with pytest.raises(jsonschema.ValidationError):
        check({"problem": "one"}, {"$ref": "#/components/schemas/Error"}, document)

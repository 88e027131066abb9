"""The links of the OpenAPI document lead from each creating operation to all operations on the created resource."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings

# Tus returns the id of an upload within `Location`, and an OpenAPI expression cannot take a part of it. `owner` is a
# key or `me`.
WITHOUT_LINK = {"getUploadOffset", "getUpload", "sendUploadChunk", "deleteUpload", "eraseOwner"}


@pytest.fixture(scope="module")
def operations() -> dict[str, dict[str, Any]]:
    paths = create_app(Settings(redis_url="redis://localhost:1/0")).openapi()["paths"]
    return {one["operationId"]: one for found in paths.values() for one in found.values()}


def links(operations: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    answers = [answer for one in operations.values() for answer in one["responses"].values()]
    return [link for answer in answers for link in answer.get("links", {}).values()]


def test_every_operation_on_something_made_is_linked(operations: dict[str, dict[str, Any]]) -> None:
    needy = {
        name
        for name, one in operations.items()
        if any(parameter["in"] == "path" for parameter in one.get("parameters", ()))
    }
    by_path = {link["operationId"] for link in links(operations) if "parameters" in link}
    assert by_path == needy - WITHOUT_LINK
    by_body = {link["operationId"] for link in links(operations) if "x-requestBody" in link}
    # Readers that are strict about it take strings alone.
    assert not any("requestBody" in link for link in links(operations))
    assert by_body == {"createReel", "exportCuts", "localizeUpload"}
    assert by_body <= set(operations)


def test_links_fill_the_ids_of_their_operation(operations: dict[str, dict[str, Any]]) -> None:
    for link in (one for one in links(operations) if "parameters" in one):
        parameters = operations[link["operationId"]]["parameters"]
        wanted = {one["name"] for one in parameters if one["in"] == "path"} - {"n"}
        assert set(link["parameters"]) == wanted


def test_a_link_s_expression_is_in_the_answer(operations: dict[str, dict[str, Any]]) -> None:
    document = create_app(Settings(redis_url="redis://localhost:1/0")).openapi()
    for one in operations.values():
        for answer in one["responses"].values():
            for link in answer.get("links", {}).values():
                reference = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                properties = document["components"]["schemas"][reference]["properties"]
                used = re.findall(r"\$response\.body#/(\w+)", json.dumps(link))
                assert used and set(used) <= set(properties)

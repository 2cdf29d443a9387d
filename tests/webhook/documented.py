"""Whether an answer of the server is one that the OpenAPI document promises, and no more."""

import functools
import json

from jsonschema import Draft202012Validator

from webhook.app import routed
from webhook.document import document


@functools.cache
def promised():
    """Return the document, with the shapes of answers closed: nothing more may be said."""
    found = document(routed())
    takes = {name for one in bodies(found) for name in [one["$ref"].rpartition("/")[2]]}
    for name, schema in found["components"]["schemas"].items():
        if name not in takes and "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return found


def bodies(found):
    for path in found["paths"].values():
        for operation in path.values():
            content = operation.get("requestBody", {}).get("content", {})
            yield from (one["schema"] for one in content.values() if "$ref" in one["schema"])


def faults(rule, method, response):
    """Return what an answer to a call is that the document does not promise."""
    operation = promised()["paths"][rule.replace("<", "{").replace(">", "}")][method.lower()]
    said = operation["responses"].get(str(response.status_code))
    if said is None:
        return [f"the status {response.status_code} is not promised"]
    content = said["content"].get(response.mimetype)
    if content is None:
        return [f"{response.mimetype} is not promised for {response.status_code}"]
    if "json" not in response.mimetype:
        return []
    schema = {**content["schema"], "components": promised()["components"]}
    found = Draft202012Validator(schema).iter_errors(json.loads(response.get_data()))
    return [f"{one.json_path}: {one.message}" for one in found]

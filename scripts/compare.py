"""What a new artifact means to the callers of this client, measured against the old one.

Two raw artifacts are compared, not two canonical ones, so that nothing the canonicalizer absorbs or leaves out goes
unseen; ``openapi/surface.toml`` says what things are called in Python. What each difference is worth is in
scripts/severity.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from attrs import define

from scripts.artifact import ArtifactError, parse
from scripts.canonicalize import canonicalize
from scripts.compare_operations import OperationComparison
from scripts.compare_schemas import Place, SchemaComparison
from scripts.compare_values import is_prose
from scripts.findings import Finding, merged, shown
from scripts.routes import route_key, routes, webhooks
from scripts.schemas import COMPONENTS, Schemas
from scripts.surface import Surface, SurfaceError

__all__ = ["compare"]

#: What an artifact says about itself, and callers are told otherwise (hosts) or not at all.
ABOUT = frozenset({"info", "servers", "tags"})
JUDGED = frozenset({"openapi", "paths", "webhooks", "components", "security"})
WHOLE = Place("", "", sent=False)


def compare(old: bytes, new: bytes, surface: Surface) -> list[Finding]:
    """Return what is different in the artifact *new*, the worst first; nothing only where the bytes are the same.

    Raises:
        ArtifactError: One of them is no artifact this project can read, or *old* is none the client can be built from.
    """
    if old == new:
        return []
    before, after = parse(old), parse(new)
    try:
        canonicalize(before, surface)
    except ArtifactError as error:
        raise ArtifactError(f"the snapshot is none this client can be built from: {error}") from None
    models = {
        name: {field: declared.kind + "?" * (not declared.is_described) for field, declared in spec["fields"].items()}
        for name, spec in surface.models.items()
    }
    comparison = _Comparison(SchemaComparison(Schemas(before), Schemas(after), models), surface)
    try:
        canonicalize(after, surface)
    except SurfaceError as error:
        lost = Finding("surface-lost", public=shown(error.public), after=shown(str(error), 400))
        comparison.schemas.findings.append(lost)
    comparison.run()
    if findings := merged(comparison.schemas.findings):
        return findings
    if before == after:
        return [Finding("formatting-changed")]
    return [Finding("order-changed" if _unordered(before) == _unordered(after) else "unjudged")]


@define
class _Comparison:
    """Compares two documents as a whole."""

    schemas: SchemaComparison
    surface: Surface

    def run(self) -> None:
        each = OperationComparison(self.schemas, self.surface)
        self._compare_about()
        self._compare_routes(each)
        self._compare_webhooks(each)
        self._compare_unused()

    def _compare_about(self) -> None:
        old, new = self.schemas.old.document, self.schemas.new.document
        if old["openapi"] != new["openapi"]:
            self.schemas.add("openapi-changed", WHOLE, old["openapi"], new["openapi"])
        self.schemas.compare_prose(old, new, WHOLE)
        for key in sorted({*old, *new} - JUDGED):
            if old.get(key) != new.get(key) and not is_prose(key):
                same = _without_prose(old.get(key)) == _without_prose(new.get(key))
                rule = "prose-changed" if same else "about-changed" if key in ABOUT else "unjudged"
                self.schemas.add(rule, WHOLE, after=key)

    def _compare_routes(self, each: OperationComparison) -> None:
        old, new = routes(self.schemas.old), routes(self.schemas.new)
        names = {route_key(*spec["route"].split(" ")): name for name, spec in self.surface.operations.items()}
        for key in dict.fromkeys([*old, *new]):
            public = names.get(key, "")
            if key not in new:
                self.schemas.add("route-removed", Place(old[key].title, "", sent=True, public=public))
            elif key not in old:
                self.schemas.add("route-added", Place(new[key].title, "", sent=True))
            else:
                each.compare(old[key], new[key], public)

    def _compare_webhooks(self, each: OperationComparison) -> None:
        old, new = webhooks(self.schemas.old), webhooks(self.schemas.new)
        models = {spec["webhook"]: model for model, spec in self.surface.models.items() if "webhook" in spec}
        added = [key for key in new if key not in old]
        for key in old:
            place = Place(old[key].title, "", sent=False, public=models.get(key[0], ""))
            if key in new:
                each.compare_webhook(old[key], new[key], place.public)
                continue
            same = next((other for other in added if each.same(old[key], new[other])), None)
            if same is None:
                self.schemas.add("webhook-removed", place)
            else:
                added.remove(same)
                self.schemas.add("webhook-renamed", place, key[0], same[0])
        for key in added:
            self.schemas.add("webhook-added", Place(new[key].title, "", sent=False))

    def _compare_unused(self) -> None:
        """Note schemas that no route uses: they change nothing that travels."""
        old, new = _unused(self.schemas.old.document), _unused(self.schemas.new.document)
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                texts = (name if name in side else None for side in (old, new))
                self.schemas.add("unused-schema-changed", WHOLE, *texts)


def _unused(document: dict[str, Any]) -> dict[str, Any]:
    components = document.get("components")
    described = components.get("schemas") if isinstance(components, dict) else None
    if not isinstance(components, dict) or not isinstance(described, dict):
        return {}
    others = {key: value for key, value in components.items() if key != "schemas"}
    found, waiting = set(), [*_references([document["paths"], document.get("webhooks"), others])]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_references(described.get(name)))
    return {name: schema for name, schema in described.items() if name not in found}


def _references(node: Any) -> Iterator[str]:
    """Find every schema that is referred to anywhere in *node*; mappings of discriminators refer too."""
    if isinstance(node, str) and node.startswith(COMPONENTS):
        yield node.removeprefix(COMPONENTS).partition("/")[0]
    elif isinstance(node, (dict, list)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _references(child)


def _without_prose(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_prose(value) for key, value in node.items() if not is_prose(key)}
    return [_without_prose(child) for child in node] if isinstance(node, list) else node


def _unordered(node: Any) -> Any:
    """Return *node* with its lists in one order."""
    if isinstance(node, dict):
        return {key: _unordered(value) for key, value in node.items()}
    if isinstance(node, list):
        return sorted(map(_unordered, node), key=lambda child: json.dumps(child, sort_keys=True))
    return node

"""The artifact is untrusted text that becomes code: none of it runs, and none of it names a file."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from scripts.artifact import ROOT, ArtifactError
from scripts.canonicalize import canonicalize
from scripts.compare import compare
from scripts.findings import as_annotations, as_markdown, as_text
from scripts.surface import load_surface
from tests.examples import examples

from . import shapes_of_names, shapes_of_schemas  # noqa: F401
from .shapes import ENCOUNTER, SHAPES, Document, Shape, operations, reference, schemas, unchanged
from .trees import Tree, Workshop

#: If any of this ran, there would be a file called planted.
PLANT = "open('planted', 'w').close()"
HOSTILE = [
    f'"""\n{PLANT}\n"""',
    f"'''\n{PLANT}\n'''",
    f'"\n{PLANT}\n"',
    f'"; {PLANT}; "',
    f"'); {PLANT}; ('",
    f'x\\"""\n{PLANT}#',
    f"\\\n{PLANT}",
    f"\r{PLANT}\r",
    f"\u2028{PLANT}\u2029\x85\x0b\x0c{PLANT}",
    f"{{{PLANT}}}",
    f"{{{{ {PLANT} }}}}",
    "{{ cycler.__init__.__globals__.os.system('touch planted') }}",
    "{% include '/etc/passwd' %}{# #}",
    "#} {{ 7 * 7 }} {#",
    "{self.__class__.__init__.__globals__}",
    "{0.__class__}%s%(x)s$(touch planted)`touch planted`",
    "../../planted",
    "..\\..\\planted",
    "/planted",
    "planted.py\0.json",
    "\0",
    "\u202egnp.exe\u202c",
    "\ud800",
    "\U000e0041",
    "\\N{BELL}\\x41\\u0022",
    "ends with a backslash\\",
    '\\" + str(1) + \\"',
    "\n\n\nclass Encounter: pass\n",
    "]\nfrom os import system",
    "x: int = 1\n    y",
    "# type: ignore",
    "fmt: off",
    "Ünïcode Ñame",
    "x" * 5000,
    "",
    " ",
    "nul.txt",
    *("__class__", "__init__", "__import__", "from_dict", "to_dict", "additional_properties", "self", "None"),
    *("class", "lambda", "__builtins__", "病歴", "µ", "ﬁeld", "-", "1", "con"),
]


def poisoned() -> Document:
    """Return the artifact with every hostile text in every place that holds one."""
    document = unchanged()
    status = schemas(document)["PublicEncounter"]["properties"]["status"]
    status["enum"] = ["completed", *HOSTILE]
    kind = schemas(document)["PublicDocument"]["properties"]["schema_type"]
    kind["anyOf"] = [{"const": text, "title": text} for text in ["document", *HOSTILE]]
    every = "\n".join(HOSTILE[:30])
    document["info"] = {"title": every, "version": every, "description": every, "x": every}
    document["servers"] = [{"url": every}]
    document["tags"] = [{"name": text, "description": text} for text in HOSTILE]
    for number, operation in enumerate(operations(document)):
        operation |= {"operationId": HOSTILE[number], "tags": HOSTILE, "summary": every, "description": every[::-1]}
        operation["security"] = [{"bearerAuth": [*HOSTILE[:20], f"{number}:read"]}]
        for parameter in operation["parameters"]:
            parameter |= {"description": every, "example": every}
    for schema in schemas(document).values():
        schema |= {"title": HOSTILE[0], "description": every, "$comment": every, "x-charthero": {"known": {"a": every}}}
        for number, node in enumerate(schema["properties"].values()):
            if "$ref" not in node:
                node |= {"title": HOSTILE[number], "description": HOSTILE[number], "default": HOSTILE[0]}
                node |= {"example": HOSTILE[1], "pattern": HOSTILE[2], "x-charthero": {"showable": [every]}}
    for number, text in enumerate(HOSTILE):
        described = {"title": text, "description": text, "default": text, "example": text, "format": text}
        schemas(document)[text] = {"type": "object", "properties": {text: {"type": "string", **described}}, **described}
        schemas(document)["PublicEncounter"]["properties"][text] = {"type": "string", "enum": [text], **described}
        inline = {"type": "object", "properties": {text: {"type": "string"}, "a": {}}}
        schemas(document)["PublicPatient"]["properties"][f"p{number}{text}"] = inline
        _add_route(document, f"/external/v1/{text}", text, described)
        _add_route(document, f"/external/v1/{number}/{{{text}}}", text, described)
        document["webhooks"][text] = {"post": {"operationId": text, "responses": {}}}
    return document


def _add_route(document: Document, path: str, text: str, described: dict[str, Any]) -> None:
    parameters = [
        {"name": text, "in": place, "required": place == "path", "schema": {"type": "string", **described}}
        for place in ("path", "query", "header", "cookie")
    ]
    document["paths"][path] = {
        "post": {
            **described,
            "operationId": text,
            "tags": [text],
            "summary": text,
            "parameters": [*parameters, {"name": "ok", "in": "query", "description": text, "schema": described}],
            "requestBody": {"description": text, "content": {"application/json": {"schema": {"enum": [text]}}}},
            "responses": {
                "200": {
                    "description": text,
                    "content": {"application/json": {"schema": {"type": "array", **described}}},
                },
                text: {"description": text},
                "201": {"description": text, "content": {text: {"schema": described}}},
            },
        }
    }


POISONED = Shape("poisoned", poisoned(), frozenset(), {})


@pytest.fixture(scope="module")
def tree(workshop: Workshop) -> Tree:
    return workshop.tree(POISONED)


def test_hostile_text_still_gives_a_package_that_imports_and_reads(tree: Tree) -> None:
    assert tree.error == ""
    assert tree.read["read"][2] == "Synthetic"


@pytest.mark.slow
def test_hostile_text_still_gives_a_package_that_passes_the_type_checker(workshop: Workshop) -> None:
    assert workshop.type_errors(POISONED) == ""


def test_no_planted_code_ran_and_no_file_lies_outside_the_package(tree: Tree) -> None:
    around = tree.package.parent
    assert sorted(path.name for path in around.iterdir()) == ["charthero_client", "openapi.json"]
    run_in = (around, around.parent, Path.cwd(), ROOT, Path.home())
    assert [path for path in run_in if (path / "planted").exists() or (path / "planted.py").exists()] == []
    assert list(around.rglob("planted")) == [path for path in around.rglob("planted") if path.is_dir()]
    names = [path.relative_to(tree.package).as_posix() for path in tree.package.rglob("*")]
    assert [name for name in names if not re.fullmatch(r"[a-z0-9_/]{1,200}(\.py|\.json|\.typed)?", name)] == []


def test_hostile_text_reaches_the_code_only_as_printable_text_inside_strings(tree: Tree, workshop: Workshop) -> None:
    plain = workshop.tree(SHAPES[0])
    known = _names_called(plain.package) | {"headers", "append", "quote", "cast", "json"}
    assert _names_called(tree.package) <= known
    code = "".join(path.read_text(encoding="utf-8") for path in tree.package.rglob("*.py"))
    # No character hides or reorders what an editor shows, and template language is not evaluated.
    assert all(character.isprintable() or character == "\n" for character in code)
    assert "{{ 7 * 7 }}" in code
    assert "root:" not in code


def _names_called(package: Path) -> set[str]:
    called = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called.add(node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "?"))
    return {name for name in called if not re.fullmatch(r"[A-Z][A-Za-z0-9]*_?", name)}


def test_the_canonical_document_holds_only_safe_names_and_text() -> None:
    _assert_safe(canonicalize(POISONED.document, load_surface()).document)


# Any text, anywhere

SAFE = {
    "operationId": r"[A-Za-z][A-Za-z0-9_]{0,99}",
    "schema": r"[A-Za-z][A-Za-z0-9_]{0,99}",
    "property": r"[A-Za-z][A-Za-z0-9_.-]{0,99}",
    "parameter": r"[A-Za-z0-9_$.@\[\]:-]{1,99}",
    "path": r"/([A-Za-z0-9_/.~:@+,;=-]|\{[A-Za-z_][A-Za-z0-9_]*\})*",
}
KEYWORDS = {
    *("openapi", "info", "title", "version", "paths", "components", "schemas", "operationId", "tags", "summary"),
    *("description", "parameters", "name", "in", "required", "schema", "responses", "requestBody", "content"),
    *("application/json", "type", "format", "properties", "additionalProperties", "anyOf", "items", "$ref"),
    *("x-charthero", "fields", "essential", "showable", "known"),
}
REFERENCES = [{"$ref": "#/info"}, reference("PublicEncounter"), {"type": "null"}]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from([*HOSTILE, *REFERENCES]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*KEYWORDS, *HOSTILE]), inner, max_size=4)
    ),
    max_leaves=12,
)


def pointers(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return every place in a document."""
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [here, *(pointer for key, value in inside for pointer in pointers(value, (*here, key)))]


@st.composite
def damaged(draw: st.DrawFn) -> Document:
    """One of the shapes, with anything in the place of a few of its parts, and any text in the place of some names."""
    document: Document = json.loads(json.dumps(draw(st.sampled_from(SHAPES)).document))
    for _ in range(draw(st.integers(1, 4))):
        *place, last = draw(st.sampled_from(pointers(document)[1:]))
        node: Any = document
        for key in place:
            node = node[key]
        damage = draw(st.sampled_from(["replace", "rename", "add", "add"]))
        name = draw(st.sampled_from(HOSTILE) | st.text())
        if isinstance(node, list) or damage == "replace":
            node[last] = draw(json_values)
        else:
            node[name] = node.pop(last) if damage == "rename" else copy.deepcopy(node[last])
    return document


@examples(150, derandomize=True, suppress_health_check=list(HealthCheck))
@given(damaged())
def test_any_artifact_is_refused_in_one_line_or_gives_safe_names(
    document: Document,
) -> None:
    if not isinstance(document.get("paths"), dict):
        return
    try:
        canonical = canonicalize(document, load_surface())
    except ArtifactError as error:
        assert re.fullmatch(r"[^\n]{10,400}", str(error))  # noqa: PT017
        return
    _assert_safe(canonical.document)
    assert all("\n" not in note and note.isprintable() for note in canonical.notes)


@examples(60, suppress_health_check=list(HealthCheck))
@given(damaged())
def test_any_artifact_is_compared_in_printable_lines_or_refused(document: Document) -> None:
    before, after = (json.dumps(one).encode() for one in (unchanged(), document))
    try:
        found = compare(before, after, load_surface())
    except ArtifactError:
        return
    assert bool(found) == (before != after)
    assert [finding.severity for finding in found] == sorted((finding.severity for finding in found), reverse=True)
    render: Callable[..., str]
    for render in (as_text, as_markdown, as_annotations):
        assert all(line.isprintable() for line in render(found).split("\n"))
    assert all(line.startswith("::") for line in as_annotations(found).splitlines())


def _assert_safe(canonical: Document) -> None:
    known = [schema["x-charthero"].pop("known", {}) for schema in _models(canonical)]
    assert all(isinstance(value, str) for closed in known for values in closed.values() for value in values)
    for name, schema in canonical["components"]["schemas"].items():
        assert re.fullmatch(SAFE["schema"], name)
        assert all(re.fullmatch(SAFE["property"], key) for key in schema["properties"])
    folded = [re.sub(r"\W|_", "", name).lower() for name in canonical["components"]["schemas"]]
    assert len(set(folded)) == len(folded)
    for path, item in canonical["paths"].items():
        assert re.fullmatch(SAFE["path"], path)
        for operation in item.values():
            assert re.fullmatch(SAFE["operationId"], operation["operationId"])
            assert all(re.fullmatch(SAFE["operationId"], tag) for tag in operation["tags"])
            assert all(re.fullmatch(SAFE["parameter"], one["name"]) for one in operation["parameters"])
    for text in _texts(canonical):
        assert text.isprintable()
        assert len(text) <= 500


def _models(canonical: Document) -> list[dict[str, Any]]:
    return [schema for schema in canonical["components"]["schemas"].values() if "x-charthero" in schema]


def _texts(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [text for value in inside for text in _texts(value)]


def test_a_long_summary_is_cut_to_500_characters() -> None:
    document = unchanged()
    document["paths"][ENCOUNTER]["get"]["summary"] = "long " * 100_000
    summary = canonicalize(document, load_surface()).document["paths"][ENCOUNTER]["get"]["summary"]
    assert summary == ("long " * 100)[:500]

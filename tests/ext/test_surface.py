"""The public surface is a promise. Read the message of a failure before you change this file."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from charthero_ext import AsyncChartHero, ChartHero, errors
from charthero_ext.client import AsyncDocuments, AsyncEncounters, Documents, Encounters
from charthero_ext.errors import ConfigurationError

PROMISE = (
    "a public name or signature changed. Adding is a minor version; removing or changing is a major one: integrations "
    "break, so say in CHANGELOG.md what to write instead. Where it is meant, write it down here"
)

#: The modules people import. What is public in them is their ``__all__``.
MODULES = (
    "charthero_ext",
    "charthero_ext.changes",
    "charthero_ext.client",
    "charthero_ext.config",
    "charthero_ext.errors",
    "charthero_ext.models",
    "charthero_ext.pagination",
    "charthero_ext.sandbox",
    "charthero_ext.scopes",
    "charthero_ext.testing",
    "charthero_ext.webhooks",
)
PACKAGE = Path(errors.__file__).parent
PROMISED = Path(__file__).with_name("surface.txt")


def surface() -> Iterator[str]:
    """Yield every public name once, with its signature; of the generated models, whose fields may grow, the name."""
    seen: dict[int, str] = {}
    for module in MODULES:
        loaded = importlib.import_module(module)
        for name in sorted(loaded.__all__):
            found = getattr(loaded, name)
            path = f"{module}.{name}"
            first = seen.setdefault(id(found), path)
            if first != path and (inspect.isclass(found) or inspect.isfunction(found)):
                yield f"{path} is {first}"
            elif inspect.isclass(found) and not found.__module__.startswith("charthero_client"):
                yield from class_lines(f"{module}.{name}", found)
            elif inspect.isfunction(found):
                yield f"{module}.{name}{signature(found)}"
            else:
                yield f"{module}.{name}"


def class_lines(path: str, kind: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in kind.__bases__ if base is not object)
    yield f"{path}({bases}){signature(kind)}"
    for name, member in inspect.getmembers(kind, lambda member: not isinstance(member, type)):
        if name.startswith("_") or hasattr(Exception, name):
            continue
        if inspect.isfunction(member) or inspect.ismethod(member):
            yield f"{path}.{name}{signature(member)}{' awaited' if inspect.iscoroutinefunction(member) else ''}"
        else:
            yield f"{path}.{name}"


def signature(of: Any) -> str:
    """The parameters with their kinds and defaults; types are the business of the type checkers."""
    try:
        taken = inspect.signature(of)
    except ValueError:
        return "(...)"
    parameters = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in taken.parameters.values()]
    shown = str(taken.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    return re.sub(r"<[^<>]*>|frozenset\(\{[^}]*\}\)", "...", shown)


def test_the_public_surface_is_the_promised_one() -> None:
    now, promised = list(surface()), PROMISED.read_text(encoding="utf-8").splitlines()
    gone = [line for line in promised if line not in now]
    new = [line for line in now if line not in promised]
    assert (gone, new) == ([], []), f"{PROMISE}, and run: python -m tests.ext.test_surface > tests/ext/surface.txt"


@pytest.mark.parametrize("module", MODULES)
def test_every_name_in_all_exists(module: str) -> None:
    loaded = importlib.import_module(module)
    assert set(loaded.__all__) <= set(dir(loaded))


@pytest.mark.parametrize(
    ("one", "other"), [(ChartHero, AsyncChartHero), (Encounters, AsyncEncounters), (Documents, AsyncDocuments)]
)
def test_the_methods_of_both_clients_have_the_same_parameters_and_defaults(one: type, other: type) -> None:
    def signatures(kind: type) -> dict[str, str]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {name: signature(method) for name, method in methods if name == "__init__" or not name.startswith("_")}

    assert signatures(one).items() - {("close", "(self)")} == signatures(other).items() - {("aclose", "(self)")}


def test_a_client_can_be_mocked_with_its_attributes() -> None:
    mocked = create_autospec(ChartHero, instance=True)
    mocked.encounters.get.return_value = None
    assert mocked.encounters.get("enc_1") is None
    assert mocked.settings is not None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("kind", [ChartHero, AsyncChartHero])
def test_a_client_refuses_to_be_copied_or_pickled(kind: Any, copied: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot be pickled or copied"):
        copied(kind(api_key="ch_sk_synthetic", base_url="http://localhost:1"))


def test_only_the_two_drivers_import_httpx() -> None:
    found = {
        path.name
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^(import|from) httpx", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }
    assert found == {"_async_http.py", "_http.py"}


@pytest.mark.parametrize(
    ("program", "names"),
    [
        ("import charthero_ext", ("httpx", "attrs", "charthero_client")),
        (
            "from charthero_ext import ChartHero; ChartHero(api_key='ch_sk_x', base_url='https://api.example.test')",
            ("asyncio", "httpcore"),
        ),
    ],
    ids=["import", "client"],
)
def test_an_import_and_a_new_client_load_only_what_they_need(program: str, names: tuple[str, ...]) -> None:
    program = f"import sys; {program}; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_version_of_the_distribution() -> None:
    import charthero_ext

    assert charthero_ext.__version__ == version("charthero-ext")


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    import charthero_ext

    with pytest.raises(AttributeError, match="no attribute 'Charthero'"):
        charthero_ext.Charthero  # noqa: B018


if __name__ == "__main__":
    print(*surface(), sep="\n")

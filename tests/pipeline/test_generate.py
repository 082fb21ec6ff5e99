"""Generation gives the same bytes everywhere, replaces the whole tree or nothing, and its check names differences."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts import generate
from scripts.artifact import sha256
from tests.client_under_test import ARTIFACT

from .repository import PACKAGE, Repository, contents, copied

# The same bytes


def test_a_package_generated_from_the_snapshot_passes_the_check(repository: Repository) -> None:
    assert repository.generate("--check") == (0, "")


@pytest.mark.slow
def test_hash_seed_directory_umask_and_settings_do_not_change_a_byte(tmp_path: Path) -> None:
    def elsewhere(root: Path) -> tuple[Path, dict[str, str]]:
        hostile = root / "hostile"
        hostile.mkdir()
        for name in ("ruff.py", "openapi_python_client.py", "jinja2.py", "yaml.py"):
            (hostile / name).write_text("raise SystemExit('the wrong module')")
        (hostile / "pyproject.toml").write_text("[tool.ruff]\nline-length = 20\n")
        return hostile, {}

    def configured(root: Path) -> tuple[Path, dict[str, str]]:
        (root / ".git").mkdir()
        settings = "line-length = 40\nindent-width = 2\nexclude = ['*']\n[format]\nquote-style = 'single'\n"
        for place in (root, root / "generated", root.parent):
            (place / "ruff.toml").write_text(settings)
            (place / "pyproject.toml").write_text("[tool.ruff]\nline-length = 20\n[tool.black]\nline-length = 20\n")
            (place / ".gitignore").write_text("*\n")
        return root, {"RUFF_OUTPUT_FORMAT": "json", "RUFF_NO_CACHE": "false", "PYTHONWARNINGS": "error"}

    def plain(root: Path) -> tuple[Path, dict[str, str]]:
        return root, {"LC_ALL": "C", "TZ": "Asia/Kathmandu", "PYTHONUTF8": "0", "COLUMNS": "20"}

    def made(number: int, surroundings: Callable[[Path], tuple[Path, dict[str, str]]]) -> None:
        repository = copied(tmp_path / str(number) / "build" / "repository")
        shutil.rmtree(repository.root / "generated" / "charthero_client")
        cwd, env = surroundings(repository.root)
        done = repository.generate(cwd=cwd, umask=(0o000, 0o022, 0o077)[number], PYTHONHASHSEED=str(number), **env)
        assert done == (0, "")
        assert contents(repository.package) == contents(PACKAGE)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(made, range(3), (plain, elsewhere, configured)))


@pytest.mark.slow
def test_a_tag_named_like_a_directory_that_formatters_skip_is_formatted(tmp_path: Path) -> None:
    document = json.loads(ARTIFACT.read_bytes())
    for tag in ("build", "dist", "venv", "node_modules"):
        document["paths"][f"/external/v1/{tag}"] = {
            "get": {"operationId": f"get_{tag}", "tags": [tag], "responses": {}}
        }
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    generate.generate_into(tmp_path / "charthero_client", tmp_path / "openapi.json")
    for tag in ("build", "dist", "venv", "node_modules"):
        text = (tmp_path / "charthero_client" / "api" / tag / f"get_{tag}.py").read_text()
        assert "\n\n\n\n" not in text
        assert "from typing import Any, cast" not in text


def test_the_package_has_the_artifact_as_it_is_and_its_deprecations(tmp_path: Path) -> None:
    document = json.loads(ARTIFACT.read_bytes())
    document["paths"]["/external/v1/encounters"]["get"]["deprecated"] = True
    for schema in document["components"]["schemas"].values():
        for name in schema.get("properties", {}).keys() & {"status", "resources"}:
            field = {"allOf": [schema["properties"][name]], "deprecated": True, "description": f'The "{name}"'}
            schema["properties"][name] = field
    odd = json.dumps(document, indent=1).replace("\n", "\r\n").encode() + b"\t \n"
    (tmp_path / "openapi.json").write_bytes(odd)
    generate.generate_into(tmp_path / "charthero_client", tmp_path / "openapi.json")
    assert (tmp_path / "charthero_client" / "openapi.json").read_bytes() == odd
    contract = (tmp_path / "charthero_client" / "contract.py").read_text()
    assert f'"{sha256(odd)}"' in contract
    models = tmp_path / "charthero_client" / "models"
    assert re.search(r' status: .*\n    """Deprecated. The "status" """\n', (models / "encounter.py").read_text())
    event = (models / "transcript_ready_event.py").read_text()
    assert re.search(r' resources: .*\n    """Deprecated. The "resources" """\n', event)
    assert 'frozenset(["encounters.list"])' in contract


# The whole tree or nothing


def test_generate_removes_every_other_file_of_the_package(repository: Repository) -> None:
    for name in ("models/stale.py", "api/old/__init__.py", "mine.py", ".hidden"):
        (repository.package / name).parent.mkdir(exist_ok=True)
        (repository.package / name).write_text("stale")
    assert repository.generate() == (0, "")
    assert contents(repository.package) == contents(PACKAGE)
    assert [path.name for path in (repository.root / "generated").iterdir()] == ["charthero_client"]


@pytest.mark.parametrize("module", ["openapi_python_client", "ruff"])
def test_a_failing_generator_or_formatter_leaves_the_tree_unchanged(
    repository: Repository, tmp_path: Path, module: str
) -> None:
    (repository.package / "models" / "encounter.py").write_text("the old tree")
    before = contents(repository.root)
    broken = tmp_path / "broken" / module
    broken.mkdir(parents=True)
    (broken / "__init__.py").touch()
    keys = ("project_name_override", "package_name_override", "field_prefix", "post_hooks")
    (broken / "config.py").write_text(f"class ConfigFile:\n    model_fields = dict.fromkeys({keys})\n")
    (broken / "__main__.py").write_text("import sys; print('something broke'); sys.exit(3)")
    code, said = repository.generate(PYTHONPATH=str(broken.parent))
    assert (code, said) == (1, f"generate: {module} failed:\nsomething broke\n")
    assert contents(repository.root) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("generator.yaml", "post_hooks: [no-such-program]", "no-such-program is not in PATH"),
        ("templates/model.py.jinja", "{{ nothing.at.all }}", "'nothing' is undefined"),
    ],
)
def test_a_warning_of_the_generator_is_an_error(repository: Repository, file: str, text: str, said: str) -> None:
    (repository.root / "openapi" / file).write_text(text)
    before = contents(repository.root)
    code, line = repository.generate()
    assert code == 1
    assert line.startswith("generate: openapi_python_client failed:\n")
    assert said in line
    assert contents(repository.root) == before


def test_a_missing_or_broken_snapshot_is_one_line_and_changes_nothing(repository: Repository) -> None:
    snapshot = repository.root / "openapi" / "openapi.json"
    before = contents(repository.package)
    snapshot.write_bytes(snapshot.read_bytes()[:1000])
    code, said = repository.generate()
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("generate: not JSON, or cut short: ")
    snapshot.unlink()
    line = "generate: no snapshot at openapi.json: No such file or directory; run `make pull`\n"
    assert repository.generate() == (1, line)
    assert repository.generate("--check") == (1, line)
    assert contents(repository.package) == before


def test_an_unknown_key_in_the_configuration_is_an_error(repository: Repository) -> None:
    configuration = repository.root / "openapi" / "generator.yaml"
    configuration.write_text(configuration.read_text() + "feild_prefix: x_\nliteral_enum: true\n")
    line = "generate: generator.yaml: openapi-python-client knows no feild_prefix, literal_enum\n"
    assert repository.generate() == (1, line)


@pytest.mark.slow
def test_a_killed_run_leaves_the_tree_usable_and_the_next_cleans_up(repository: Repository, tmp_path: Path) -> None:
    """The run is killed after the new tree is written and before it is formatted: a stand-in for ruff signals that."""
    (repository.package / "mine.py").write_text("of before")
    before = contents(repository.package)
    formatter = tmp_path / "broken" / "ruff"
    formatter.mkdir(parents=True)
    (formatter / "__init__.py").touch()
    with socket.create_server(("127.0.0.1", 0)) as bell:
        bell.settimeout(30)
        ring = f"import signal, socket\nsocket.create_connection({bell.getsockname()!r})\nsignal.pause()\n"
        (formatter / "__main__.py").write_text(ring)
        process = repository.start(*repository.script("generate"), PYTHONPATH=str(formatter.parent))
        try:
            bell.accept()[0].close()
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    generated = repository.root / "generated"
    (left,) = generated.glob(".generating-*/charthero_client")
    assert (left / "models" / "encounter.py").exists()
    assert contents(repository.package) == before
    assert repository.generate() == (0, "")
    assert [path.name for path in generated.iterdir()] == ["charthero_client"]
    assert contents(repository.package) == contents(PACKAGE)


@pytest.mark.slow
def test_a_run_killed_between_the_two_renames_loses_no_tree(
    repository: Repository,
) -> None:
    repository.package.rename(repository.root / "generated" / ".charthero_client.old")
    assert repository.generate("--check") == (0, "")
    assert [path.name for path in (repository.root / "generated").iterdir()] == ["charthero_client"]


def test_the_old_tree_is_restored_if_the_new_one_cannot_replace_it(tmp_path: Path) -> None:
    old = tmp_path / "charthero_client"
    old.mkdir()
    (old / "a.py").write_text("old")
    with pytest.raises(FileNotFoundError):
        generate.replace_whole(tmp_path / "nothing", old)
    assert contents(tmp_path) == {"charthero_client/a.py": b"old"}


def test_only_one_process_at_a_time_writes_the_package(tmp_path: Path) -> None:
    generated = tmp_path / "generated"

    def is_free() -> bool:
        descriptor = os.open(generated, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    with generate.alone(generated / "charthero_client"):
        assert not is_free()
    assert is_free()


# The check


def test_the_check_names_every_different_file_and_writes_nothing(repository: Repository) -> None:
    (repository.package / "models" / "encounter.py").unlink()
    (repository.package / "models" / "mine.py").write_text("")
    (repository.package / "client.py").write_text("changed")
    (repository.package / "py.typed").write_text("changed")
    before = contents(repository.root)
    assert repository.generate("--check") == (
        1,
        "generated/charthero_client: missing: models/encounter.py\n"
        "generated/charthero_client: not generated: models/mine.py\n"
        "generated/charthero_client: changed: client.py\n"
        "generated/charthero_client: changed: py.typed\n"
        "generated/ is not what the snapshot gives; run `make generate`\n",
    )
    assert contents(repository.root) == before


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (b'{"sha256": "0000"}', "is about another snapshot: its sha256 differs; run `make pull`"),
        (b"{", "cannot be read, so the origin of the snapshot is unknown"),
        (None, "cannot be read, so the origin of the snapshot is unknown"),
    ],
)
def test_a_record_that_does_not_fit_the_snapshot_fails_the_check(
    repository: Repository, record: bytes | None, line: str
) -> None:
    path = repository.root / "openapi" / "source.json"
    path.unlink() if record is None else path.write_bytes(record)
    assert repository.generate("--check") == (1, f"generate: openapi/source.json {line}\n")

"""Open the pull request that proposes a new client, or bring the open one up to date.

In: what scripts/release_day.py laid out, of which only known files are taken, and none is run. There is one branch and
at most one open pull request; nothing is ever closed or merged here. A branch that people have committed to is not
overwritten. Needs git, gh and a checkout of the branch to merge into; runs on the standard library alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.artifact import ROOT

__all__ = ["FINDINGS", "PROPOSED", "main"]

BRANCH = "api-release"
FINDINGS = "findings.md"
#: What a proposal may change.
PROPOSED = (
    *("CHANGELOG.md", "openapi/openapi.json", "openapi/source.json", "openapi/facts.txt"),
    "generated/charthero_client",
)
#: Whose commits may be replaced: our own.
NAME, EMAIL = "github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com"
#: GitHub refuses longer texts.
MAX_BODY = 60_000


class ProposalError(Exception):
    """There is nothing that may be proposed, or it cannot be done. The text is for people."""


def propose(bundle: Path) -> str:
    """Propose what *bundle* holds, and return what was done.

    Raises:
        ProposalError: The bundle holds what may not be proposed, or people have committed to the branch.
    """
    findings = (bundle / FINDINGS).read_text(encoding="utf-8")
    base = _git("rev-parse", "--abbrev-ref", "HEAD")
    _take(bundle)
    _git("add", "--all", "--", *PROPOSED)
    if not _git("diff", "--cached", "--name-only"):
        return "nothing to propose: the files are as they are on the branch to merge into"
    pushed = _push()
    title = findings.partition("\n")[0].lstrip("# ").strip()
    with tempfile.NamedTemporaryFile("w", suffix=".md", encoding="utf-8") as body:
        body.write(_body(findings))
        body.flush()
        texts = ("-f", f"title=ChartHero API: {title}", "-F", f"body=@{body.name}")
        listed = _gh("pr", "list", "--head", BRANCH, "--base", base, "--state", "open", "--json", "number")
        if found := json.loads(listed or "[]"):
            number = int(found[0]["number"])
            _gh("api", "--silent", "--method", "PATCH", f"repos/{{owner}}/{{repo}}/pulls/{number}", *texts)
            return f"pull request {number} brought up to date" + ("" if pushed else "; its files were already")
        branches = ("-f", f"head={BRANCH}", "-f", f"base={base}")
        _gh("api", "--silent", "--method", "POST", "repos/{owner}/{repo}/pulls", *branches, *texts)
    return "pull request opened"


def _take(bundle: Path) -> None:
    for path in bundle.rglob("*"):
        name = path.relative_to(bundle).as_posix()
        known = name == FINDINGS or any(name == one or name.startswith(f"{one}/") for one in PROPOSED)
        if path.is_symlink() or not (known or path.is_dir()):
            raise ProposalError(f"{name[:200]!r} may not be proposed")
    for name in PROPOSED:
        target = ROOT / name
        if (bundle / name).is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(bundle / name, target)
        else:
            shutil.copyfile(bundle / name, target)


def _push() -> bool:
    """Put the files on the branch, and tell whether it had to change."""
    lease = f"--force-with-lease={BRANCH}:"
    if known := _git("ls-remote", "--heads", "origin", BRANCH).partition("\t")[0]:
        _git("fetch", "--quiet", "--depth=1", "origin", BRANCH)
        # The changelog is dated, and people may have added words: it alone is no reason to push.
        if not _git("diff", "--cached", "--name-only", "FETCH_HEAD", "--", "openapi/openapi.json", "generated"):
            return False
        if _git("log", "-1", "--format=%ae", "FETCH_HEAD") != EMAIL:
            raise ProposalError(
                f"people have committed to the branch {BRANCH}: merge or delete it, then run this again"
            )
        lease += known
    _git("checkout", "--quiet", "-B", BRANCH)
    identity = ("-c", f"user.name={NAME}", "-c", f"user.email={EMAIL}")
    _git(*identity, "commit", "--quiet", "--message", "Make the client anew from ChartHero's published artifact")
    _git("push", "--quiet", lease, "origin", BRANCH)
    return True


def _body(findings: str) -> str:
    server, repository, run = (os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    where = f" ([run]({server}/{repository}/actions/runs/{run}))" if run else ""
    if len(findings) > MAX_BODY:
        findings = (
            findings[:MAX_BODY].rpartition("\n")[0] + "\n\n*Cut short; the whole is in the summary of the run.*\n"
        )
    made = f"Made by `make update`; `make check` and `make test` passed{where}. Say in CHANGELOG.md what it means."
    return f"{findings}\n{made}\n"


def _git(*arguments: str) -> str:
    return _run("git", *arguments)


def _gh(*arguments: str) -> str:
    return _run("gh", *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProposalError(f"{' '.join(command[:2])} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def main(arguments: list[str] | None = None) -> int:
    """Open the pull request, or bring it up to date."""
    parser = argparse.ArgumentParser(description="Open the pull request that proposes a new client, or update it.")
    parser.add_argument("bundle", type=Path, help="the directory that scripts/release_day.py laid out")
    options = parser.parse_args(arguments)
    try:
        if os.environ.get("GITHUB_ACTIONS") == "true":
            _gh("auth", "setup-git")
        print(f"open_pull_request: {propose(options.bundle)}")
    except (ProposalError, OSError) as error:
        print(f"open_pull_request: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

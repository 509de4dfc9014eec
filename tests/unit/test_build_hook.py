"""The build hook (hatch_build.py): when it builds, with which Node.js, and what it says when it cannot.

`node` and `npm` are small scripts here: what is tested is the hook, not Vite.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

NODE = """#!/bin/sh
if [ "$1" = --version ]; then echo {version}; exit; fi
echo build >> "$CALLS"
if [ -f broken ]; then echo 'src/x.ts: cannot resolve ./nowhere'; exit 3; fi
mkdir "$4" && cp index.html "$4/"
"""
NPM = '#!/bin/sh\necho "npm $*" >> "$CALLS"\nmkdir -p node_modules\n'


@pytest.fixture
def hook() -> Iterator[ModuleType]:
    file = Path(__file__).parents[2] / "hatch_build.py"
    spec = importlib.util.spec_from_file_location("hatch_build_under_test", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    web = tmp_path / "web"
    (web / "src").mkdir(parents=True)
    (tmp_path / "src" / "callboard").mkdir(parents=True)
    (web / "package-lock.json").write_text("{}")
    (web / "index.html").write_text("first")
    return tmp_path


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with Node.js; the file lists what was run."""
    calls = tmp_path / "calls"
    calls.touch()
    monkeypatch.setenv("CALLS", str(calls))
    machine(tmp_path, monkeypatch, "v22.12.0")
    return calls


def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    for name, text in {"node": NODE.format(version=version), "npm": NPM}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")


def built(project: Path) -> str:
    return (project / "src" / "callboard" / "web" / "index.html").read_text()


def test_builds_once_for_the_same_sources(hook: ModuleType, project: Path, calls: Path) -> None:
    assert hook.build(project) is True
    assert hook.build(project) is False
    assert built(project) == "first"
    assert calls.read_text().splitlines() == ["npm ci --ignore-scripts --no-audit --no-fund", "build"]


def test_builds_again_when_a_source_changed_but_installs_only_for_a_new_lock(
    hook: ModuleType, project: Path, calls: Path
) -> None:
    hook.build(project)
    (project / "web" / "index.html").write_text("second")
    hook.build(project)
    assert built(project) == "second"
    assert calls.read_text().count("npm ci") == 1
    (project / "web" / "package-lock.json").write_text('{"changed": true}')
    hook.build(project)
    assert calls.read_text().count("npm ci") == 2


@pytest.mark.parametrize("change", ["renamed", "added", "moved"])
def test_any_change_of_the_tree_counts(hook: ModuleType, project: Path, change: str) -> None:
    web = project / "web"
    (web / "src" / "a.ts").write_text("a")
    before = hook.sources_hash(web)
    (web / "node_modules").mkdir()
    (web / "node_modules" / "x.js").write_text("not a source")
    assert hook.sources_hash(web) == before
    match change:
        case "renamed":
            (web / "src" / "a.ts").rename(web / "src" / "b.ts")
        case "added":
            (web / "src" / "b.ts").write_text("")
        case "moved":
            (web / "src" / "a.ts").rename(web / "a.ts")
    assert hook.sources_hash(web) != before


def test_a_failed_build_shows_the_output_and_leaves_the_page_that_was_there(
    hook: ModuleType, project: Path, calls: Path
) -> None:
    hook.build(project)
    (project / "web" / "broken").touch()
    with pytest.raises(hook.WebBuildError, match=r"ended with status 3\.\nsrc/x\.ts: cannot resolve"):
        hook.build(project)
    assert built(project) == "first"
    assert not hook.is_current(project)
    assert [path.name for path in (project / "src" / "callboard").iterdir()] == ["web"]


def test_node_comes_from_a_wheel_only_when_the_machine_has_none_that_fits(
    hook: ModuleType, project: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert needs(hook, project, "wheel") == []
    machine(project, monkeypatch, "v18.20.4")
    assert needs(hook, project, "wheel") == [hook.NODE_WHEEL]
    assert needs(hook, project, "sdist") == []
    monkeypatch.setattr(hook, "wheel_node", lambda: None)
    with pytest.raises(hook.WebBuildError, match=r"needs Node\.js .* with npm"):
        hook.build(project)


def needs(hook: ModuleType, project: Path, target: str) -> list[str]:
    dependencies: list[str] = hook.WebBuildHook(
        str(project), {}, None, None, str(project / "dist"), target
    ).dependencies()
    return dependencies


def test_node_without_npm_is_not_enough(
    hook: ModuleType, project: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "bin" / "npm").unlink()
    monkeypatch.setenv("PATH", str(project / "bin"))
    assert hook.machine_node() is None


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        ("v20.18.9", False),
        ("v20.19.0", True),
        ("v21.7.3", False),
        ("v22.11.0", False),
        ("v22.12.0\n", True),
        ("v24.0.0", True),
        ("nonsense", False),
    ],
)
def test_accepts_the_versions_that_vite_does(hook: ModuleType, version: str, accepted: bool) -> None:
    assert hook.is_accepted(version) is accepted

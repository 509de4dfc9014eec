"""Telemetry: the catalogue of log names is true, and lines are what a reader can rely on."""

from __future__ import annotations

import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter

from callboard import telemetry
from callboard.telemetry import LOG_EVENTS, NODE_FAMILIES, NodeCollector, Samples, log

SOURCE = Path(telemetry.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "operations.md"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
# Not fields: structlog's own.
CONTROL = {"exc_info"}


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    before, handlers = structlog.get_config(), logging.root.handlers[:]
    level = logging.root.level
    yield io.StringIO()
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """Each `log.<level>("name", field=…)` of the source: where, the name, its fields."""
    for path in sorted(SOURCE.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            spread: dict[str, set[object]] = {
                target.id: {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
                for node in ast.walk(function)
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and is_log(node.func):
                    yield from ((f"{path.name}:{node.lineno}", name, fields(node, spread)) for name in names(node))


def is_log(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute) or function.attr not in LEVELS:
        return False
    owner = function.value
    return (isinstance(owner, ast.Name) and owner.id == "log") or (
        isinstance(owner, ast.Attribute) and owner.attr == "log"
    )


def names(node: ast.Call) -> list[str]:
    assert isinstance(node.args[0], ast.Constant), "a log name is a literal"
    return [str(node.args[0].value)]


def fields(node: ast.Call, spread: dict[str, set[object]]) -> set[str]:
    found: set[str] = set()
    for keyword in node.keywords:
        if keyword.arg is not None:
            found.add(keyword.arg)
        else:
            assert isinstance(keyword.value, ast.Name)
            found |= {str(name) for name in spread[keyword.value.id]}
    return found - CONTROL


def listed(name: str) -> set[str]:
    return {field.strip() for part in LOG_EVENTS[name].split("|") for field in part.split(",") if field.strip()}


def test_every_name_that_is_logged_is_listed_and_every_listed_one_is_logged() -> None:
    assert {name for _, name, _ in calls()} == set(LOG_EVENTS)


def test_every_field_that_is_logged_is_listed_and_every_listed_one_is_logged() -> None:
    used: dict[str, set[str]] = {}
    for where, name, given in calls():
        assert given <= listed(name), where
        used.setdefault(name, set()).update(given)
    assert used == {name: listed(name) for name in LOG_EVENTS}


def test_the_metrics_of_a_node_are_described_and_read_at_once() -> None:
    assert len({family.name for family in NODE_FAMILIES}) == len(NODE_FAMILIES)
    readings: list[Samples] = []

    def read() -> Samples:
        samples: Samples = {family.name: [(("x",) * len(family.labels), 1.5)] for family in NODE_FAMILIES}
        readings.append(samples)
        return samples

    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(read))
    assert readings == []
    for family in NODE_FAMILIES:
        name = family.name + ("_total" if family.total else "")
        assert registry.get_sample_value(name, dict.fromkeys(family.labels, "x")) == 1.5
    readings.clear()
    assert {metric.name for metric in registry.collect()} == {family.name for family in NODE_FAMILIES}
    assert len(readings) == 1


def test_the_page_for_operators_names_every_metric() -> None:
    page = PAGE.read_text()
    for family in NODE_FAMILIES:
        assert f"`{family.name}{'_total' if family.total else ''}`" in page
    own = [metric.name for metric in REGISTRY.collect() if metric.name.startswith("callboard_")]
    assert "callboard_refused" in own
    for name in own:
        assert f"`{name}`" in page or f"`{name}_total`" in page


def test_a_counter_is_read_by_its_label() -> None:
    counter = Counter("callboard_test", "A test's", ["code"], registry=None)
    assert telemetry.totals(counter) == {}
    counter.labels("a").inc(2)
    counter.labels("b").inc()
    assert telemetry.totals(counter) == {"a": 2, "b": 1}


def test_json_is_one_object_a_line(out: io.StringIO) -> None:
    telemetry.configure("info", "json", out)
    log.info("request.refused", path="/\n\x1b[2J", status=404)
    line = json.loads(out.getvalue())
    assert out.getvalue().count("\n") == 1
    assert line["event"] == "request.refused"
    assert line["level"] == "info"
    assert line["path"] == "/\n\x1b[2J"
    assert line["timestamp"].endswith("Z")


def test_console_writes_what_a_client_sent_as_a_literal(out: io.StringIO) -> None:
    telemetry.configure("info", "console", out)
    log.info("request.refused", path="/\x1b[2J", reason="a\nb")
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"reason": "a b\n\x1b[2J'é", "path": "/", "status": 404, "seconds": 0.5, "code": None},
        {"exception": "Traceback:\n  in fail"},
        {"exception": "Traceback:\n  in fail", "reason": ""},
    ],
)
@pytest.mark.parametrize("name", ["a", "database.a_name_that_is_longer_than_the_column"])
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical", "exception"])
def test_a_line_without_colors_is_that_of_structlog(level: str, name: str, fields: dict[str, object]) -> None:
    event = {**fields, "event": name, "level": level, "timestamp": "2026-11-26T01:56:49.933022Z"}
    structlogs = structlog.dev.ConsoleRenderer(colors=False, repr_native_str=True)
    assert telemetry.colorless(None, level, {**event}) == structlogs(None, level, {**event})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colors_and_literals(out: io.StringIO) -> None:
    terminal = Terminal()
    telemetry.configure("info", "console", terminal)
    log.info("request.refused", path="/\x1b[2J")
    assert "\x1b[" in terminal.getvalue()
    assert "\\x1b[2J" in terminal.getvalue()


@pytest.mark.parametrize(("level", "heard"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_a_threshold(out: io.StringIO, level: str, heard: int) -> None:
    telemetry.configure(level, "json", out)
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert out.getvalue().count("\n") == heard


def test_a_defect_is_logged_with_its_traceback_and_without_local_variables(out: io.StringIO) -> None:
    telemetry.configure("info", "console", out)

    def fail() -> None:
        token = "secret-" + "token"
        raise ValueError(len(token))

    try:
        fail()
    except ValueError as error:
        log.error("request.failed", exc_info=error)
    assert "in fail" in out.getvalue()
    assert "secret-token" not in out.getvalue()


def test_libraries_are_heard_from_warnings_upwards_in_lines_of_ours(out: io.StringIO) -> None:
    telemetry.configure("debug", "json", out)
    logging.getLogger("httpx").info("GET https://issuer.example")
    logging.getLogger("a.library").warning("%s is odd\n\x1b[2J", "This")
    try:
        raise ValueError("a defect")
    except ValueError:
        logging.getLogger("b.library").exception("It failed")
    warned, failed = [json.loads(line) for line in out.getvalue().splitlines()]
    assert warned.pop("timestamp").endswith("Z")
    assert warned == {
        "event": "library.warned",
        "level": "warning",
        "library": "a.library",
        "reason": "This is odd\n\x1b[2J",
    }
    assert (failed["event"], failed["level"], failed["reason"]) == ("library.failed", "error", "It failed")
    assert failed["exception"].endswith("ValueError: a defect")


def test_a_library_cannot_start_a_line_on_the_console(out: io.StringIO) -> None:
    telemetry.configure("info", "console", out)
    logging.getLogger("a.library").warning("a\n\x1b[2J")
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()


def test_what_a_library_cannot_say_stops_nobody(out: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("info", "json", out)
    logging.getLogger("a.library").warning("%d", "no number")
    assert out.getvalue() == ""
    assert "no number" in capsys.readouterr().err

"""The pages' scripts and style sheets use only what the oldest supported browsers have (Firefox 115, Safari 16.4, Chrome 109), and their
modules import each other without a circle."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import PATIENCE

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "static"
MODULES = Path(os.environ.get("SARANG_NODE_MODULES", HERE.parents[1] / "target/tests-node/node_modules"))
# What is used only where it is there: file, name, and how that is known.
GUARDED = {("view.js", "Segmenter"): "inside try", ("view.js", "segment"): "inside try"}

NEWER = {
    "syntax.js": r"export const letters = /[\p{L}--a]/v;",
    "using.js": "export function held(open) { using file = open(); return file; }",
    "static.js": "export const is = (text) => URL.canParse(text);",
    "method.js": "export const sorted = (list) => [...list].toSorted();",
    "unknown.js": "export const sorted = (list) => list.toReversed();",
    "promise.js": "export const { promise, resolve } = Promise.withResolvers();",
    "global.js": "export const parts = (text) => new Intl.Segmenter().segment(text);",
    "group.js": "export const groups = (list) => Object.groupBy(list, String);",
    # `filter` is a member of arrays, too.
    "typed.js": "export const few = (map = new Map()) => map.values().filter(Boolean);",
    "set.js": "export const both = (one = new Set(), other = new Set()) => one.union(other);",
    "event.js": "document.addEventListener('scrollend', () => {});",
    "nested.css": ".a { color: red; .b { color: blue; } }",
    "selector.css": "li:has(.new) { color: red; }",
    "function.css": ".a { color: color-mix(in srgb, red 7%, blue); }",
}
OLD_ENOUGH = {
    "asked.js": "export const is = (text) => URL.canParse?.(text) ?? true;",
    "ours.js": "export class List { toSorted() { return this; } }\nexport const sorted = () => new List().toSorted();",
    "old.js": "export const last = (list) => list.at(-1)?.findLast?.(Boolean) ?? structuredClone(list);\nexport class A { static #a = 1; static { this.b = #a in this; } }",
    "asked.css": ".a { color: red; color: color-mix(in srgb, red 7%, blue); }\n@supports selector(:has(a)) {\n  li:has(.new) { color: red; }\n}",
}


@pytest.fixture
def problems():
    """Checks files: those that use something newer, with what is wrong."""
    if not (MODULES / "esbuild").exists() or not (MODULES / "@mdn/browser-compat-data").exists() or not shutil.which("node"):
        pytest.skip("SARANG_NODE_MODULES does not name a folder with esbuild and browser-compat-data, or Node is not installed")

    def problems(files):
        command = ["node", str(HERE / "browsers.mjs"), str(MODULES), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=8 * PATIENCE)
        assert done.returncode == 0, done.stderr
        return {Path(file).name: found for file, found in json.loads(done.stdout).items() if found}

    return problems


def test_the_pages_run_in_the_oldest_supported_browsers(problems):
    files = sorted(file for file in STATIC.iterdir() if file.suffix in (".js", ".css"))
    assert len(files) > 30
    found = {(name, one["name"]): f"{one['why']}, line {one['line']}" for name, all in problems(files).items() for one in all}
    assert {use: why for use, why in found.items() if use not in GUARDED} == {}
    # None of the exceptions is forgotten here.
    assert GUARDED.keys() <= found.keys()


def test_what_is_newer_is_found_and_what_is_asked_for_first_is_not(problems, tmp_path):
    for name, text in {**NEWER, **OLD_ENOUGH}.items():
        (tmp_path / name).write_text(text + "\n")
    found = problems(sorted(tmp_path.iterdir()))
    assert found.keys() == NEWER.keys(), found


def imports(file):
    """The modules that a module imports from, as the build reads them: comments import types."""
    code = [line for line in file.read_text().splitlines() if not line.lstrip().startswith(("*", "/")) and "/**" not in line]
    return re.findall(r"""(?:^(?:import|export|\})[^;\n]*?from|^import|\bimport\()\s*'\./([\w.-]+)'""", "\n".join(code), re.M)


def test_modules_import_each_other_without_a_circle():
    graph = {file.name: imports(file) for file in STATIC.glob("*.js")}
    assert sum(map(len, graph.values())) > 30
    assert {name for names in graph.values() for name in names} <= graph.keys()
    done = set()

    def visit(name, way):
        assert name not in way, " imports ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in graph[name]:
                visit(other, [*way, name])
            done.add(name)

    for name in graph:
        visit(name, [])


def test_each_file_of_the_pages_is_below_500_lines():
    long = {file.name: count for file in STATIC.iterdir() if file.suffix in (".js", ".css", ".html") and (count := file.read_text().count("\n")) > 500}
    assert long == {}

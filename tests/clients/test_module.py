"""sarang.js outside of pages: in Node, Deno and Bun against the real server, and its types as programs in TypeScript use them."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from threading import Timer

import pytest
from conftest import PATIENCE
from engines import Relay

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "static"
MODULES = Path(os.environ.get("SARANG_NODE_MODULES", HERE.parents[1] / "target/tests-node/node_modules"))
# How each runs a program; what a sandbox must be told it may do.
RUNTIMES = {"node": ["node"], "deno": ["deno", "run", "--no-config", "--allow-net=127.0.0.1", "--allow-read"], "bun": ["bun", "run"]}


def installed(name):
    """A runtime among the packages of tests/run, of a version that has all the module needs."""
    program = MODULES / ".bin" / name
    if not program.exists():
        pytest.skip(f"SARANG_NODE_MODULES has no {name}")
    return str(program)


def typescript():
    compiler = MODULES / "typescript/lib/typescript.js"
    if not compiler.exists() or not shutil.which("node"):
        pytest.skip("SARANG_NODE_MODULES does not name a folder with typescript, or Node is not installed")
    return compiler


def run(command, **options):
    # Deno looks for newer versions of itself.
    quiet = {**os.environ, "NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE, env=quiet, **options)


@pytest.fixture
def relay(start):
    server = start()
    host, port = server.host.rsplit(":", 1)
    relay = Relay((host, int(port)))
    yield relay
    relay.stop()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_module_speaks_with_the_server_in(runtime, relay):
    program, *arguments = RUNTIMES[runtime]
    address = "http://{}:{}".format(*relay.address)
    command = [installed(program), *arguments, str(HERE / "module.mjs"), (STATIC / "sarang.js").as_uri(), address]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "DENO_NO_UPDATE_CHECK": "1"}
    )
    timer = Timer(4 * PATIENCE, process.kill)
    timer.start()
    told = []
    for line in process.stdout:
        told.append(line.strip())
        if told[-1] in ("cut", "part"):
            relay.cut()
        if told[-1] in ("cut", "mend"):
            relay.mend()
        if told[-1] in ("cut", "part", "mend"):
            process.stdin.write("\n")
            process.stdin.flush()
    # It ends by itself.
    code, problem = process.wait(), process.stderr.read()
    timer.cancel()
    assert (code, told, problem) == (0, ["cut", "part", "mend", "done"], "")


def test_where_there_is_no_web_socket_the_module_says_so_at_once():
    if not shutil.which("node"):
        pytest.skip("Node is not installed")
    script = f"""
      delete globalThis.WebSocket;
      const {{ Sarang }} = await import({json.dumps((STATIC / "sarang.js").as_uri())});
      new Sarang({{ url: 'ws://127.0.0.1:9/ws?username=kim' }});
    """
    done = run(["node", "--input-type=module", "-e", script])
    assert done.returncode != 0
    assert "TypeError: There is no WebSocket here: use Node 22 or later" in done.stderr


@pytest.mark.parametrize("module, target", [("nodenext", "es2022"), ("esnext", "esnext")])
def test_programs_in_typescript_are_checked_as_they_are_meant(module, target):
    compiler = typescript().parents[1] / "bin/tsc"
    options = ["--strict", "--noEmit", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--lib", "es2022,dom,dom.asynciterable"]
    bundler = ["--moduleResolution", "bundler"] if module == "esnext" else []
    done = run(["node", str(compiler), *options, "--module", module, "--target", target, *bundler, str(HERE / "types/uses.ts")])
    assert done.stdout + done.stderr == ""


@pytest.fixture
def found():
    """What the module has, and what its types say."""
    done = run(["node", str(HERE / "types/members.mjs"), str(STATIC), str(typescript())])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_types_name_all_that_the_module_has_and_nothing_else(found):
    assert len(found["has"]["Sarang"]) > 12 and len(found["emitted"]) > 12
    assert found["says"] == found["has"]
    # What is described at the top of the file.
    assert found["described"] == found["emitted"]


@pytest.mark.parametrize("kind, channel", [("SystemMetrics", "system"), ("ApiMetrics", "api"), ("BusinessMetrics", "business")])
def test_the_types_name_each_figure_of_the_server(found, start, kind, channel):
    with start().rest.stream("GET", f"/sse/{channel}") as answer:
        data = next(line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: "))
    # Of a cluster alone.
    assert json.loads(data).keys() | ({"node"} if channel == "system" else set()) == set(found["figures"][kind])

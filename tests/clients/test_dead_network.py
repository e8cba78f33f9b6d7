"""A peer whose network fails sends nothing, not even a FIN or RST: the server must notice it by timeouts.

The two machines are network namespaces with a cable between them, which takes root and `ip`.
"""

import os
import shutil
import signal
import subprocess
import sys

import pytest

PATIENCE = 30
# Silence of 25 s, a ping, 20 s for the pong, and 3 s of grace; the contract promises a minute.
LEFT_WITHIN = 60
# TCP_USER_TIMEOUT, from the first event that is not acknowledged.
DROPPED_WITHIN = 90

# The process ID makes the names unique: a killed run leaves its namespaces behind, and another run may be under way.
NEAR, FAR = (f"sarang-{os.getpid()}-{side}" for side in ("near", "far"))
HOST = "10.213.0.1:8000"

# The client that stays: reports its own join, the other's join and departure, and that its stream was dropped.
WITNESS = f"""
import json, time, urllib.request
from websockets.sync.client import connect

def subscribers():
    page = urllib.request.urlopen("http://{HOST}/metrics").read().decode()
    return 'sarang_subscribers{{channel="system"}} 1' in page

with connect("ws://{HOST}/ws?username=near", proxy=None) as socket:
    socket.send('{{"type":"join","room":"r"}}')
    for kind in ("room_joined", "user_joined", "user_left"):
        while json.loads(socket.recv())["type"] != kind:
            pass
        print(kind, flush=True)
    while subscribers():
        time.sleep(0.5)
    print("dropped", flush=True)
"""

# The client whose network fails.
VICTIM = f"""
import urllib.request
from websockets.sync.client import connect
stream = urllib.request.urlopen("http://{HOST}/sse/system")
stream.readline()
with connect("ws://{HOST}/ws?username=far", proxy=None) as socket:
    socket.send('{{"type":"join","room":"r"}}')
    for message in socket:
        pass
"""


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def inside(namespace, *command, **options):
    return subprocess.Popen(["ip", "netns", "exec", namespace, *command], stdin=subprocess.DEVNULL, text=True, **options)


def line(process, within):
    """The next line of a process, or a failure when none comes in time."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"nothing was said within {within} s"))
    signal.alarm(within)
    try:
        return process.stdout.readline().strip()
    finally:
        signal.alarm(0)


@pytest.fixture
def cable():
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and ip (iproute2)")
    try:
        ip("netns", "add", NEAR)
    except subprocess.CalledProcessError as refused:
        pytest.skip(f"no network namespaces here: {refused.stderr.strip()}")
    try:
        ip("netns", "add", FAR)
        ip("-n", NEAR, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", FAR)
        for namespace, name, address in ((NEAR, "near", "10.213.0.1/24"), (FAR, "far", "10.213.0.2/24")):
            ip("-n", namespace, "address", "add", address, "dev", name)
            for each in ("lo", name):
                ip("-n", namespace, "link", "set", each, "up")
        yield
    finally:
        for namespace in (NEAR, FAR):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


def test_a_peer_whose_network_dies_leaves_its_room_within_a_minute_and_its_stream_is_dropped(cable, tmp_path):
    secrets = tmp_path / "secrets"
    secrets.write_text(f"k:{'s' * 32}\n")
    options = ["--listen", HOST, "--secret-file", str(secrets), "--guests", "--public-dashboard"]
    started = []
    try:
        # The server would take SARANG_BIN for an option.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SARANG_")}
        started.append(inside(NEAR, os.environ["SARANG_BIN"], *options, stdout=subprocess.PIPE, env=clean))
        assert line(started[0], PATIENCE).startswith("listening on")
        witness = inside(NEAR, sys.executable, "-c", WITNESS, stdout=subprocess.PIPE)
        started.append(witness)
        # Otherwise the other may join first, and its join is not announced.
        assert line(witness, PATIENCE) == "room_joined"
        started.append(inside(FAR, sys.executable, "-c", VICTIM, stderr=subprocess.DEVNULL))
        assert line(witness, PATIENCE) == "user_joined"
        ip("-n", FAR, "link", "set", "far", "down")
        assert line(witness, LEFT_WITHIN) == "user_left"
        assert line(witness, DROPPED_WITHIN) == "dropped"
    finally:
        for process in started:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()

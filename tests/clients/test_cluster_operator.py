"""What README tells an operator of many nodes: the engine's settings and user, accounts and secrets."""

import json
import os
import secrets
import subprocess

import pytest

from engines import EngineError, Line, until
from ledger import under_load
from listeners import over_httpx
from nodes import QUICK, Nodes
from proxies import PATIENCE, lines_of

OPERATOR, NODES = "PASSWORD-OF-THE-OPERATOR", "PASSWORD-OF-THE-NODES"
KEY = "a key of 16 chars"


def readme_settings(folder):
    """README's settings of an engine as options: all but the addresses, and with its users in a file."""
    lines = lines_of("valkey").splitlines()
    users = folder / "users.acl"
    users.write_text("".join(line + "\n" for line in lines if line.startswith("user ")))
    options = [line.split() for line in lines if not line.startswith(("user ", "bind "))]
    return ["--aclfile", users, *(word for name, *values in options for word in [f"--{name}", *values])]


@pytest.fixture
def engine(start_engine, tmp_path):
    """An engine with these settings."""
    return start_engine(*readme_settings(tmp_path))


@pytest.fixture
def operator(engine):
    """Asks the engine as its operator."""

    def ask(*words):
        line = Line(engine.address, password=OPERATOR)
        try:
            return line.ask(*words)
        finally:
            line.close()

    return ask


@pytest.fixture
def nodes(engine, ends, tmp_path):
    """Three nodes that are the user of README, in another database than the first."""
    password = tmp_path / "password"
    password.write_text(NODES + "\n")
    url = f"redis://sarang@127.0.0.1:{engine.port}/1"
    options = ["--cluster-password-file", str(password), "--rooms", "8", *QUICK]
    return ends(Nodes([url] * 3, tmp_path / "nodes", *options)).begin()


def sign_in(node, name="admin", password="secret"):
    answer = node.rest.post("/auth/login", json={"username": name, "password": password})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def ticket(node, bearer):
    return node.rest.post("/auth/ws-ticket", headers=bearer).raise_for_status().json()["ticket"]


def next_of(talker, kind):
    """The next message of this type, past all others but errors."""
    while (message := json.loads(talker.receive()))["type"] != kind:
        assert message["type"] != "error", message
    return message


def people_talk(nodes, come_in):
    """Chat, a resume, whispers, a name that is held by a key."""
    kim, lee = come_in(nodes[0], "kim", KEY), come_in(nodes[1], "lee")
    since = kim.join("tech")["position"]
    kim.drop()
    lee.join("tech")
    lee.send("chat", room="tech", content="안녕", id="1")
    next_of(lee, "ack")
    kim = come_in(nodes[2], "kim", KEY)
    assert [one["content"] for one in kim.join("tech", since=since)["history"]] == ["안녕"]
    lee.send("whisper", to="kim", content="비밀", id="2")
    assert next_of(kim, "whisper")["content"] == "비밀"
    kim.send("leave", room="tech")
    next_of(kim, "room_left")


def rooms_make_way(nodes, come_in):
    """More rooms than there may be are made, and all are listed and read."""
    assert nodes[0].rest.post("/rooms", json={"name": "made"}).status_code == 201
    choi = come_in(nodes[0], "choi")
    for number in range(12):
        choi.send("join", room=f"room {number}")
        next_of(choi, "room_joined")
        choi.send("leave", room=f"room {number}")
        next_of(choi, "room_left")
    for node in nodes:
        assert "tech" in [room["name"] for room in node.rest.get("/rooms").json()["rooms"]]
        assert node.rest.get("/rooms/tech").status_code == 200


def events_are_posted(nodes):
    before = nodes[0].rest.post("/events/deploys", json={"version": 1}).raise_for_status().json()["id"]
    with over_httpx(f"{nodes[1].url}/sse/deploys", last_event_id=before) as events:
        nodes[2].rest.post("/events/deploys", json={"version": 2}).raise_for_status()
        assert next(events).data == {"version": 2}
    nodes[0].rest.post("/events/business", json={"revenue": 1}).raise_for_status()


def an_admin_comes_and_goes(nodes, come_in):
    bearer = sign_in(nodes[0])
    admin = come_in(nodes[1], "admin", ticket=ticket(nodes[0], bearer))
    assert nodes[2].rest.post("/auth/logout", headers=bearer).status_code == 204
    assert admin.close_code()[0] == 4002


def test_the_user_of_the_readme_may_do_all_that_nodes_do_and_nothing_else(engine, operator, nodes, come_in):
    with under_load(nodes, lossless=False) as load:
        people_talk(nodes, come_in)
        rooms_make_way(nodes, come_in)
        events_are_posted(nodes)
        an_admin_comes_and_goes(nodes, come_in)
        # What follows a cut, a dead node, a restart of the engine and its loss of everything needs commands of its own.
        assert operator("CLIENT", "KILL", "TYPE", "pubsub") == 3
        load.goes_on()
        nodes[1].kill()
        until(lambda: nodes[0].logged("node_swept") or nodes[2].logged("node_swept"))
        nodes[1].start()
        # A restart empties it.
        assert operator("ACL", "LOG") == []
        engine.restart()
        load.goes_on()
        operator("FLUSHALL")
        load.goes_on()
    # A node asks for it with --cluster-wait only.
    assert operator("ACL", "DRYRUN", "sarang", "WAIT", "1", "1000") == "OK"
    assert operator("ACL", "LOG") == []
    line = Line(engine.address)
    try:
        line.ask("AUTH", "sarang", NODES)
        for words in [["GET", "other"], ["FLUSHALL"], ["KEYS", "sg:*"], ["CONFIG", "GET", "*"], ["PUBLISH", "other", ""]]:
            with pytest.raises(EngineError, match="NOPERM"):
                line.ask(*words)
    finally:
        line.close()
    assert len(operator("ACL", "LOG")) == 5


@pytest.fixture
def accounts(tmp_path):
    """Options with two accounts and a secret."""
    users, secret = str(tmp_path / "users"), tmp_path / "secrets"
    for name in ["홍길동", "kim"]:
        command = [os.environ["SARANG_BIN"], "user", "add", name, "--users", users]
        subprocess.run(command, input=f"password of {name}\n", text=True, check=True, timeout=PATIENCE)
    secret.touch(0o600)
    secret.write_text(f"k1:{secrets.token_hex(32)}\n")
    return ["--users", users, "--secret-file", str(secret)]


def test_an_account_that_signs_in_at_one_node_is_let_in_at_all(start_engine, start_nodes, accounts, come_in):
    nodes = start_nodes(start_engine().url, "--public-dashboard", *accounts)
    bearers = [sign_in(nodes[0], name, f"password of {name}") for name in ["홍길동", "kim"]]
    # A ticket is redeemed at another node than that which gave it; that one need not be where the sign-in was, either.
    hong = come_in(nodes[1], "홍길동", ticket=ticket(nodes[0], bearers[0]))
    kim = come_in(nodes[0], "kim", ticket=ticket(nodes[2], bearers[1]))
    hong.join("tech")
    assert kim.join("tech")["online_users"] == ["홍길동"]
    hong.send("chat", room="tech", content="안녕", id="1")
    assert next_of(kim, "chat")["username"] == "홍길동"
    for node in nodes:
        assert node.rest.get("/rooms/tech", headers=bearers[1]).json()["online_users"] == ["kim", "홍길동"]
        assert node.rest.get("/rooms/tech").status_code == 401
        refreshed = node.rest.post("/auth/refresh", headers=bearers[0])
        assert refreshed.status_code == 200, refreshed.text
    for number, node in enumerate(nodes):
        posted = node.rest.post("/events/deploys", json={"number": number}, headers=bearers[0])
        assert posted.status_code == 200, posted.text
    assert nodes[2].rest.post("/auth/logout", headers=bearers[0]).status_code == 204
    assert hong.close_code()[0] == 4002
    kim.send("chat", room="tech", content="still here", id="1")
    next_of(kim, "ack")

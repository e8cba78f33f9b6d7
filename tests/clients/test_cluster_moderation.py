"""What a back end and moderators do at one of three nodes of the real binary is so at all, on each engine."""

import json

import pytest

from engines import until
from listeners import over_httpx
from nodes import QUICK, Nodes
from talkers import Websockets

KEY = "a-key-of-a-back-end-that-is-long-enough"
BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def nodes(start_engine, ends, tmp_path):
    """Three nodes that know the key of a back end."""
    keys = tmp_path / "keys"
    keys.write_text(f"shop:{KEY}\n")
    keys.chmod(0o600)
    options = ["--api-key-file", str(keys), *QUICK]
    return ends(Nodes([start_engine().url] * 3, tmp_path / "nodes", *options)).begin()


def ask(node, method, target, body=None):
    """The status and the body of an answer."""
    answer = node.rest.request(method, target, headers=BEARER, json=body)
    return answer.status_code, answer.json() if answer.content else None


def next_of(talker, kind):
    """The next message of this type."""
    while (message := json.loads(talker.receive()))["type"] != kind:
        pass
    return message


def audit(node, last_event_id, count):
    """So many entries of the audit after an id, and the id of the last one."""
    with over_httpx(f"{node.url}/sse/audit", last_event_id, BEARER) as events:
        entries = [next(events) for _ in range(count)]
    assert all(entry.name == "audit" for entry in entries), entries
    return [tuple(entry.data[key] for key in ["action", "subject", "actor"]) for entry in entries], entries[-1].id


def test_a_back_end_steers_rooms_and_people_of_all_nodes(nodes, come_in):
    one, two, three = nodes
    kim, lee = come_in(one, "kim"), come_in(two, "lee")
    for talker in [kim, lee]:
        talker.join("tech")
    # Published at the node where nobody is, once.
    said = {"content": "order 7 is ready", "username": "shop", "id": "order-7"}
    status, kept = ask(three, "POST", "/rooms/tech/messages", said)
    assert status == 201, kept
    assert ask(two, "POST", "/rooms/tech/messages", said) == (201, kept)
    batch = {"messages": [{"content": f"offer {number}"} for number in range(1_000)]}
    status, positions = ask(one, "POST", "/rooms/tech/messages", batch)
    assert (status, len(positions["positions"])) == (201, 1_000)
    for talker in [kim, lee]:
        heard = [next_of(talker, "chat") for _ in range(1_001)]
        assert [message["position"] for message in heard] == [kept["position"], *positions["positions"]]

    # A room keeps its last 1,000 messages, so the first one is gone.
    assert ask(three, "DELETE", f"/rooms/tech/messages/{kept['position']}")[0] == 404
    offer = positions["positions"][7]
    assert ask(three, "DELETE", f"/rooms/tech/messages/{offer}") == (204, None)
    for talker in [kim, lee]:
        assert next_of(talker, "deleted")["position"] == offer

    until(lambda: len(ask(three, "GET", "/users")[1]["users"]) == 2)
    assert ask(one, "GET", "/users/lee")[1]["rooms"] == ["tech"]
    assert ask(one, "DELETE", "/users/lee/connections?reason=enough") == (204, None)
    assert next_of(lee, "kicked")["reason"] == "enough"
    assert lee.close_code() == (4006, "enough")
    until(lambda: ask(three, "DELETE", "/users/lee/connections")[0] == 404)

    assert ask(one, "PUT", "/users/lee/ban", {"reason": "noise"}) == (204, None)
    one_told = ask(one, "GET", "/bans")[1]["bans"]
    assert [(ban["username"], ban["by"]) for ban in one_told] == [("lee", "key:shop")]
    # A node that starts later knows, too.
    two.end()
    two.start()
    nodes.wait_until_ready()
    for node in nodes:
        until(lambda node=node: ask(node, "GET", "/bans")[1]["bans"] == one_told)
        refused = Websockets(node.socket_url("lee"))
        assert next_of(refused, "banned")["reason"] == "noise"
        assert refused.close_code() == (4006, "noise")
    assert ask(two, "DELETE", "/users/lee/ban") == (204, None)
    for node in nodes:
        until(lambda node=node: ask(node, "GET", "/bans")[1]["bans"] == [])
        come_in(node, "lee").close()

    assert ask(two, "DELETE", "/rooms/tech") == (204, None)
    assert next_of(kim, "room_left")["reason"] == "room_removed"
    for node in nodes:
        until(lambda node=node: ask(node, "GET", "/rooms/tech")[0] == 404)
    assert not kim.join("tech", since=positions["positions"][-1])["recovered"]


def test_the_audit_of_all_nodes_is_resumed_at_another_one(nodes):
    one, two, three = nodes
    with over_httpx(f"{one.url}/sse/audit", None, BEARER) as events:
        for number, node in enumerate([two, three, one, two]):
            assert ask(node, "POST", "/rooms", {"name": f"room {number}"})[0] == 201
        first = next(events)
    # In the demo, where anybody may make rooms, nobody is asked who they are.
    assert (first.data["action"], first.data["actor"], first.data["subject"]) == ("room_created", "", "room 0")
    for node in [three, two, one]:
        rest, last = audit(node, first.id, 3)
        assert rest == [("room_created", f"room {number}", "") for number in [1, 2, 3]]
    assert ask(three, "DELETE", "/rooms/room%203") == (204, None)
    removed, _ = audit(two, last, 1)
    assert removed == [("room_removed", "room 3", "key:shop")]
    # Also at a node that starts anew.
    one.kill()
    one.start()
    nodes.wait_until_ready()
    assert audit(one, last, 1)[0] == removed

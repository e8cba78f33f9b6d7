"""What an engine, a link or a node can do to a cluster, under load: what the people and the operator see, and that it passes."""

import json
import socket
import struct
import time

import pytest

from engines import until
from ledger import under_load
from nodes import QUICK, Nodes

# Nothing is acknowledged that is not on disk.
DURABLE = ["--appendonly", "yes", "--appendfsync", "always"]
# Longer than a node's lease.
LONG_AFTER_LEASE = 16
# More than an engine has ready for a connection without counting it.
LONG = "가" * 20_000


def wait_for(talker, kind, **fields):
    """The next message like this one, past all others."""
    while True:
        message = json.loads(talker.receive())
        if message["type"] == kind and fields.items() <= message.items():
            return message


def say_until_acknowledged(talker, **message):
    while True:
        talker.send("chat", **message)
        while (answer := json.loads(talker.receive()))["type"] not in ["ack", "error"]:
            pass
        if answer["type"] == "ack" and answer["id"] == message["id"]:
            return
        assert answer.get("code", "backend_unavailable") == "backend_unavailable", answer


def all_unready(nodes):
    return all(node.is_unready() for node in nodes)


def all_ready(nodes):
    return all(node.is_ready() for node in nodes)


def all_were_told(load):
    """Everybody was told in every room that its past is lost."""
    return all(len(person.resets) == len(load.ledger.said) for person in load.people)


def count(nodes, figure):
    return sum(node.figure(figure) for node in nodes)


def test_an_engine_that_keeps_everything_may_be_killed(start_engine, start_nodes):
    engine = start_engine(*DURABLE)
    nodes = start_nodes(engine.url)
    # A node cannot know that nothing was lost, so the epoch may change; the messages and their numbers may not.
    with under_load(nodes, lossless=False) as load:
        for _ in range(3):
            engine.kill()
            until(all_unready, nodes)
            engine.start()
            until(all_ready, nodes)
            load.goes_on()
    assert all(node.logged("engine_down") and len(node.logged("engine_up")) >= 4 for node in nodes)
    load.check_numbers()


def test_an_engine_that_keeps_nothing_is_killed_and_all_are_told(start_engine, start_nodes):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    with under_load(nodes, lossless=False) as load:
        engine.restart()
        load.goes_on()
        until(all_were_told, load)
    assert any(node.logged("rooms_renewed") for node in nodes)
    assert count(nodes, "epochs_total") > 0


def test_a_flushed_engine_begins_anew_and_all_are_told(start_engine, start_nodes):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    with under_load(nodes, lossless=False) as load:
        engine.ask("FLUSHALL")
        until(all_were_told, load)
        load.goes_on()


def test_members_and_tickets_work_after_a_flush(start_engine, start_nodes, come_in):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    kim, lee = come_in(nodes[0], "kim"), come_in(nodes[1], "lee")
    kim.join("tech")
    lee.join("tech")
    kim.expect("user_joined")
    engine.ask("FLUSHALL")
    for one in [kim, lee]:
        assert wait_for(one, "room_joined")["recovered"] is False
    park = come_in(nodes[2], "park")
    # What was lost of the members is told again by their nodes.
    until(lambda: nodes[2].rest.get("/rooms/tech").json()["users"] == 2)
    assert sorted(park.join("tech")["online_users"]) == ["kim", "lee"]
    lee.send("whisper", to="kim", content="here?")
    wait_for(kim, "whisper", content="here?")


def test_nobody_notices_that_the_scripts_are_gone(start_engine, start_nodes):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    with under_load(nodes) as load:
        for _ in range(5):
            engine.ask("SCRIPT", "FLUSH")
            load.goes_on()


def test_nobody_notices_that_connections_were_killed(start_engine, start_nodes):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    with under_load(nodes) as load:
        for _ in range(5):
            assert engine.ask("CLIENT", "KILL", "TYPE", "pubsub") > 0
            load.goes_on()
    assert count(nodes, "connects_total") > 3


def test_nothing_is_lost_when_the_engine_cuts_nodes_for_what_they_have_not_read(start_engine, start_nodes, come_in):
    engine = start_engine()
    nodes = start_nodes(engine.url, "--content-chars", str(len(LONG)))
    guests = [come_in(node, f"guest {number}") for number, node in enumerate(nodes)]
    for guest in guests:
        guest.join("hall")
    with under_load(nodes) as load:
        engine.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1 1 1")
        guests[0].send("chat", room="hall", content=LONG, id="1")
        # It cuts them when it is said, and again when they ask for it.
        until(lambda: all(node.figure("connects_total") > 2 for node in nodes))
        engine.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")
        until(all_ready, nodes)
        load.goes_on()
        say_until_acknowledged(guests[0], room="hall", content=LONG, id="1")
        say_until_acknowledged(guests[0], room="hall", content="the next", id="2")
    assert "output buffer limits" in engine.log.read_text()
    for guest in guests[1:]:
        assert wait_for(guest, "chat")["content"] == LONG
        assert wait_for(guest, "chat")["content"] == "the next"


def test_a_paused_engine_is_waited_for(start_engine, start_nodes):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    with under_load(nodes) as load:
        engine.pause()
        until(all_unready, nodes)
        # Beyond every lease: nothing can be awaited of an engine that stands still.
        time.sleep(LONG_AFTER_LEASE)
        engine.resume()
        until(all_ready, nodes)
        load.goes_on()


def test_what_cannot_be_served_is_refused_and_the_socket_stays(start_engine, start_nodes, come_in):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    kim = come_in(nodes[0], "kim")
    kim.join("tech")
    engine.pause()
    kim.send("chat", room="tech", content="안녕", id="1")
    error = wait_for(kim, "error")
    assert (error["code"], error["id"]) == ("backend_unavailable", "1")
    kim.send("join", room="other", id="2")
    assert wait_for(kim, "error")["code"] == "backend_unavailable"
    answer = nodes[0].rest.post("/rooms", json={"name": "another"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "backend_unavailable")
    until(all_unready, nodes)
    engine.resume()
    until(all_ready, nodes)
    kim.send("chat", room="tech", content="안녕", id="1")
    position = wait_for(kim, "ack", id="1")["position"]
    history = nodes[1].rest.get("/rooms/tech/history").json()["messages"]
    assert [(one["content"], one["position"]) for one in history] == [("안녕", position)], "it is said once"


def test_an_engine_without_memory_refuses_and_loses_nothing(start_engine, start_nodes):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    with under_load(nodes) as load:
        engine.ask("CONFIG", "SET", "maxmemory", "1mb")
        until(lambda: any("OOM" in line for line in engine.ask("INFO", "errorstats").splitlines()))
        engine.ask("CONFIG", "SET", "maxmemory", "0")
        load.goes_on()


@pytest.mark.parametrize("is_reset", [False, True])
def test_an_end_that_comes_together_with_the_last_bytes_is_noticed(ends, tmp_path, is_reset):
    with socket.create_server(("127.0.0.1", 0)) as engine:
        nodes = ends(Nodes(["redis://127.0.0.1:{}".format(*engine.getsockname()[1:])], tmp_path / "nodes", *QUICK))
        nodes.begin(ready=False)
        (node,) = nodes
        link, _ = engine.accept()
        link.recv(65536)
        # When it goes on, both are there.
        node.pause()
        link.sendall(b"+a reply without its en")
        if is_reset:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.close()
        node.resume()
        until(lambda: node.logged("engine_refused"))
    assert "no answer in time" not in node.logged("engine_refused")[0]


def test_an_engine_that_may_forget_is_refused_until_it_may_not(start_engine, ends, tmp_path):
    engine = start_engine("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    nodes = ends(Nodes([engine.url], tmp_path / "nodes", *QUICK))
    nodes.begin(ready=False)
    (node,) = nodes
    until(lambda: "allkeys-lru" in "".join(node.logged("engine_refused")))
    assert node.is_unready()
    engine.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    until(node.is_ready)


@pytest.mark.parametrize("rules", ["+@all -evalsha -eval", "+@all -subscribe", "+@all -info", "+@all resetchannels"])
def test_a_user_who_may_too_little_is_told_in_the_log(start_engine, ends, tmp_path, rules):
    acl = tmp_path / "acl"
    acl.write_text(f"user default on nopass ~* &* +@all\nuser chat on >secret ~* &* {rules}\n")
    engine = start_engine("--aclfile", acl)
    password = tmp_path / "password"
    password.write_text("secret\n")
    url = f"redis://chat@127.0.0.1:{engine.port}"
    nodes = ends(Nodes([url], tmp_path / "nodes", "--cluster-password-file", str(password), *QUICK))
    nodes.begin(ready=False)
    (node,) = nodes
    until(lambda: "NOPERM" in "".join(node.logged("engine_refused")))
    until(node.is_unready)
    engine.ask("ACL", "SETUSER", "chat", "+@all", "allchannels")
    until(node.is_ready)
    assert "secret" not in node.log.read_text()


def test_a_wrong_password_is_told_in_the_log(start_engine, ends, tmp_path):
    engine = start_engine("--requirepass", "right")
    password = tmp_path / "password"
    password.write_text("wrong\n")
    nodes = ends(Nodes([engine.url], tmp_path / "nodes", "--cluster-password-file", str(password), *QUICK))
    nodes.begin(ready=False)
    (node,) = nodes
    until(lambda: "WRONGPASS" in "".join(node.logged("engine_refused")))
    assert node.is_unready()
    log = node.log.read_text()
    assert "password=wrong" not in log and "right" not in log


def lose_tail(pair, load):
    """The replica is promoted without the last that was acknowledged."""
    pair.link.stall()
    until(pair.lacks_tail)
    load.goes_on()
    assert pair.lacks_tail()
    pair.fail_over()


def test_a_promoted_replica_that_lost_nothing_goes_on(start_pair, start_nodes):
    pair = start_pair()
    nodes = start_nodes(pair.url)
    with under_load(nodes, lossless=False) as load:
        pair.fail_over()
        load.goes_on()
        pair.rejoin()
        load.goes_on()


def test_a_promoted_replica_that_lost_the_tail_has_new_epochs(start_pair, start_nodes):
    pair = start_pair()
    nodes = start_nodes(pair.url)
    with under_load(nodes, lossless=False) as load:
        lose_tail(pair, load)
        until(all_were_told, load)
        pair.rejoin()
        load.goes_on()
    assert all(len(load.ledger.epochs(room)) >= 2 for room in load.ledger.said)


def test_a_promoted_replica_with_every_message_waited_for_loses_nothing(start_pair, start_nodes):
    pair = start_pair()
    nodes = start_nodes(pair.url, "--cluster-wait", "1")
    with under_load(nodes, lossless=False) as load:
        pair.link.stall()
        acknowledged = load.ledger.acknowledged
        until(pair.lacks_tail)
        # Answers to what the replica has may still be under way.
        assert load.ledger.acknowledged <= acknowledged + len(load.people) * 8
        pair.fail_over()
        # Nothing is acknowledged before there is a replica again.
        pair.rejoin()
        load.goes_on()
    load.check_numbers()


def test_a_sentinel_leads_to_the_new_primary(start_pair, start_sentinel, start_nodes):
    pair = start_pair()
    sentinel = start_sentinel(pair.primary)
    until(sentinel.knows_a_replica)
    nodes = start_nodes(sentinel.url)
    with under_load(nodes, lossless=False) as load:
        old = pair.primary.port
        pair.primary.kill()
        until(lambda: sentinel.primary_port() != old)
        until(all_ready, nodes)
        load.goes_on()


def test_a_node_whose_link_is_cut_comes_back(start_engine, start_nodes, start_relay):
    engine = start_engine()
    relay = start_relay(engine)
    nodes = start_nodes([engine.url, engine.url, relay.url])
    with under_load(nodes) as load:
        relay.cut()
        until(nodes[2].is_unready)
        load.goes_on()
        assert nodes[0].is_ready() and nodes[1].is_ready()
        relay.mend()
        until(nodes[2].is_ready)
        load.goes_on()


def test_a_node_whose_link_stalls_notices_it_and_comes_back(start_engine, start_nodes, start_relay):
    engine = start_engine()
    relay = start_relay(engine)
    nodes = start_nodes([engine.url, engine.url, relay.url])
    with under_load(nodes) as load:
        for _ in range(2):
            relay.stall()
            until(nodes[2].is_unready)
            load.goes_on()
            relay.cut()
            relay.mend()
            until(nodes[2].is_ready)
            load.goes_on()


def test_a_slow_link_changes_nothing(start_engine, start_nodes, start_relay):
    engine = start_engine()
    relay = start_relay(engine)
    relay.set(delay=0.1)
    nodes = start_nodes([engine.url, engine.url, relay.url])
    with under_load(nodes) as load:
        load.goes_on(200)
    assert not nodes[2].logged("engine_down")


def test_the_people_of_a_killed_node_leave(start_engine, start_nodes, come_in):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    kim, lee = come_in(nodes[0], "kim"), come_in(nodes[1], "lee")
    kim.join("tech")
    lee.join("tech")
    kim.expect("user_joined")
    nodes[1].kill()
    # It is awaited, and not measured: a lease and a sweep later.
    assert kim.expect("user_left")["username"] == "lee"
    assert any(node.logged("node_swept") for node in [nodes[0], nodes[2]])
    park = come_in(nodes[2], "park")
    assert park.join("tech")["online_users"] == ["kim"]


def test_a_name_that_a_killed_node_had_too_is_not_held_for_good(start_engine, start_nodes, come_in):
    engine = start_engine()
    nodes = start_nodes(engine.url, "--presence-grace", "3")
    kim, _ = (come_in(node, "kim", "a key of 16 chars") for node in nodes[:2])
    assert engine.ask("KEYS", "*u:kim")
    nodes[1].kill()
    # The engine does not know yet that nobody else has the name.
    kim.drop()
    until(lambda: not engine.ask("KEYS", "*u:kim"))


def test_the_people_of_a_node_that_ends_leave_at_once(start_engine, start_nodes, come_in):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    kim, lee = come_in(nodes[0], "kim"), come_in(nodes[1], "lee")
    kim.join("tech")
    lee.join("tech")
    kim.expect("user_joined")
    assert nodes[1].end() == 0
    assert kim.expect("user_left")["username"] == "lee"
    assert lee.close_code()[0] == 1001
    assert not any(node.logged("node_swept") for node in [nodes[0], nodes[2]])


def test_the_seats_of_a_killed_node_are_free_again(start_engine, start_nodes, come_in):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    nodes[0].rest.post("/rooms", json={"name": "small", "max_users": 2}).raise_for_status()
    kim, lee, park = (come_in(node, name) for node, name in zip(nodes, ["kim", "lee", "park"], strict=True))
    kim.join("small")
    lee.join("small")
    park.send("join", room="small")
    assert park.expect("error")["code"] == "room_full"
    nodes[1].kill()
    wait_for(kim, "user_left", username="lee")
    assert park.join("small")["online_users"] == ["kim"]


@pytest.mark.parametrize("number", range(3))
def test_nothing_is_lost_when_a_node_is_killed(start_engine, start_nodes, number):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    with under_load(nodes) as load:
        nodes[number].kill()
        load.goes_on()
        nodes[number].start()
        until(nodes[number].is_ready)
        load.goes_on()


def test_a_node_that_slept_beyond_its_lease_registers_again(start_engine, start_nodes, come_in):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    kim, lee = come_in(nodes[0], "kim"), come_in(nodes[1], "lee")
    kim.join("hall")
    lee.join("hall")
    kim.expect("user_joined")
    with under_load(nodes) as load:
        nodes[1].pause()
        assert kim.expect("user_left")["username"] == "lee"
        load.goes_on()
        nodes[1].resume()
        # Its sockets were open all the time, so its people are here again.
        assert kim.expect("user_joined")["username"] == "lee"
        load.goes_on()
    assert nodes[1].logged("lease_lost")
    assert nodes[1].figure("leases_lost_total") == 1
    lee.send("chat", room="hall", content="awake", id="1")
    assert kim.expect("chat")["content"] == "awake"


def test_people_can_come_in_while_one_node_is_dead(start_engine, start_nodes, come_in):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    nodes[1].kill()
    for number in range(10):
        guest = come_in(nodes[number % 2 * 2], f"guest {number}")
        guest.join("tech")
        guest.send("chat", room="tech", content="안녕", id="1")
        wait_for(guest, "ack", id="1")


def test_a_cluster_starts_before_its_engine(start_engine, ends, tmp_path, come_in):
    engine = start_engine()
    engine.kill()
    nodes = ends(Nodes([engine.url] * 3, tmp_path / "nodes", *QUICK))
    nodes.begin(ready=False)
    until(all_unready, nodes)
    engine.start()
    nodes.wait_until_ready()
    come_in(nodes[0], "kim").join("tech")


def test_a_revocation_is_in_force_after_a_node_missed_it(start_engine, start_nodes, start_relay, come_in):
    engine = start_engine()
    relay = start_relay(engine)
    nodes = start_nodes([engine.url, engine.url, relay.url])
    answer = nodes[0].rest.post("/auth/login", json={"username": "admin", "password": "secret"})
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    ticket = nodes[0].rest.post("/auth/ws-ticket", headers=bearer).json()["ticket"]
    admin = come_in(nodes[2], "admin", ticket=ticket)
    relay.cut()
    until(nodes[2].is_unready)
    assert nodes[0].rest.post("/auth/logout", headers=bearer).status_code == 204
    relay.mend()
    assert admin.close_code()[0] == 4002
    until(nodes[2].is_ready)
    assert nodes[2].rest.post("/auth/ws-ticket", headers=bearer).status_code == 401

"""Three nodes on one engine look like one server."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import ConnectionClosed

from engines import until
from ledger import under_load
from listeners import over_httpx
from proxies import PATIENCE
from talkers import Websockets

KEY, OTHER_KEY = "a key of 16 chars", "another key, of 24 chars"


def sign_in(node):
    answer = node.rest.post("/auth/login", json={"username": "admin", "password": "secret"})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def ticket(node, bearer):
    answer = node.rest.post("/auth/ws-ticket", headers=bearer)
    assert answer.status_code == 200, answer.text
    return answer.json()["ticket"]


def post(node, **data):
    answer = node.rest.post("/events/tried", json=data)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def any_of(talker):
    return json.loads(talker.receive())


def next_of(talker, kind):
    """The next message of this type, past who comes and goes."""
    while (message := any_of(talker))["type"] != kind:
        assert message["type"] in ["user_joined", "user_left"], message
    return message


def refusal(node, name, key=None, ticket=None):
    """The close code of a socket that is refused."""
    url = f"ws://{node.host}/ws?ticket={ticket}" if ticket else node.socket_url(name, key)
    talker = Websockets(url)
    try:
        return talker.close_code()[0]
    finally:
        talker.drop()


def test_members_at_different_nodes_see_each_other(nodes, come_in):
    kim, lee, park = (come_in(node, name) for node, name in zip(nodes, ["kim", "lee", "park"], strict=True))
    assert kim.join("tech")["online_users"] == []
    assert lee.join("tech")["online_users"] == ["kim"]
    assert kim.expect("user_joined")["username"] == "lee"
    assert sorted(park.join("tech")["online_users"]) == ["kim", "lee"]
    for one in [kim, lee]:
        assert one.expect("user_joined")["username"] == "park"
    park.send("leave", room="tech")
    park.expect("room_left")
    for one in [kim, lee]:
        assert one.expect("user_left")["username"] == "park"
    lee.drop()
    assert kim.expect("user_left")["username"] == "lee"


def test_who_comes_and_goes_at_several_nodes_is_told_once(nodes, come_in):
    kim = come_in(nodes[0], "kim")
    kim.join("tech")
    tabs = [come_in(node, "lee") for node in nodes]
    for tab in tabs:
        tab.join("tech")
    assert kim.expect("user_joined")["username"] == "lee"
    for tab in tabs[:2]:
        tab.send("leave", room="tech")
        tab.expect("room_left")
    # What is said after them comes after what they would have told.
    tabs[2].send("chat", room="tech", content="still here")
    assert kim.expect("chat")["content"] == "still here"
    tabs[2].expect("chat")
    tabs[2].send("leave", room="tech")
    tabs[2].expect("room_left")
    assert kim.expect("user_left")["username"] == "lee"
    kim.send("chat", room="tech", content="gone")
    assert kim.expect("chat")["content"] == "gone"


def test_all_are_told_in_one_order(nodes, come_in):
    members = [come_in(node, f"user {number}") for number, node in enumerate(nodes)]
    for member in members:
        member.join("tech")
    for number in range(50):
        for author, member in enumerate(members):
            member.send("chat", room="tech", content=f"{author} {number}")
    told = [[next_of(member, "chat") for _ in range(150)] for member in members]
    assert told[0] == told[1] == told[2]
    for author in range(3):
        said = [one["content"] for one in told[0] if one["content"].startswith(f"{author} ")]
        assert said == [f"{author} {number}" for number in range(50)]


def test_a_load_over_all_nodes_leaves_a_right_ledger(nodes):
    with under_load(nodes, pace=0.005) as load:
        load.goes_on(1_000)


def test_a_whisper_reaches_every_connection_of_its_target_at_any_node(nodes, come_in):
    kim = come_in(nodes[0], "kim")
    tabs = [come_in(node, "lee") for node in nodes]
    kim.send("whisper", to="lee", content="비밀", id="1")
    heard = [tab.expect("whisper") for tab in tabs]
    assert heard[0]["content"] == "비밀" and heard[0]["from"] == "kim"
    assert all(one == heard[0] for one in heard)
    answers = [any_of(kim) for _ in range(2)]
    assert sorted(answer["type"] for answer in answers) == ["ack", "whisper"]
    for tab in tabs:
        tab.close()
    kim.send("whisper", to="nobody", content="비밀", id="2")
    error = kim.expect("error")
    assert (error["code"], error["id"]) == ("user_not_found", "2")


def test_rooms_of_one_node_are_listed_and_read_at_any(nodes, come_in):
    made = nodes[0].rest.post("/rooms", json={"name": "기술", "max_users": 7})
    assert made.status_code == 201
    assert nodes[1].rest.post("/rooms", json={"name": "기술"}).json()["error"]["code"] == "room_exists"
    kim, lee = come_in(nodes[0], "kim"), come_in(nodes[1], "lee")
    kim.join("기술")
    kim.send("chat", room="기술", content="안녕", id="1")
    said = kim.expect("chat")
    kim.expect("ack")
    for node in nodes:
        info = node.rest.get("/rooms/기술").json()
        assert (info["max_users"], info["users"], info["online_users"]) == (7, 1, ["kim"])
        history = node.rest.get("/rooms/기술/history").json()
        assert [one["content"] for one in history["messages"]] == ["안녕"]
        assert history["position"] == said["position"]
        # A list may be one second old.
        until(
            lambda node=node: (
                {"기술": 7} == {one["name"]: one["max_users"] for one in node.rest.get("/rooms").json()["rooms"]}
            )
        )
    lee.send("room_list")
    assert [one["name"] for one in lee.expect("room_list")["rooms"]] == ["기술"]


def test_the_limit_of_a_room_is_exact_over_nodes_that_race(nodes, come_in):
    nodes[0].rest.post("/rooms", json={"name": "small", "max_users": 5}).raise_for_status()
    guests = [come_in(nodes[number % 3], f"guest {number}") for number in range(30)]
    barrier = threading.Barrier(len(guests))

    def join(guest):
        barrier.wait(PATIENCE)
        guest.send("join", room="small")
        while (message := any_of(guest))["type"] not in ["room_joined", "error"]:
            pass
        return message.get("code")

    with ThreadPoolExecutor(len(guests)) as threads:
        answers = list(threads.map(join, guests))
    assert answers.count(None) == 5
    assert answers.count("room_full") == 25
    until(lambda: all(node.rest.get("/rooms/small").json()["users"] == 5 for node in nodes))
    # Another tab of a member needs no seat, at any node.
    member = answers.index(None)
    come_in(nodes[(member + 1) % 3], f"guest {member}").join("small")


def test_a_ticket_of_one_node_opens_one_socket_at_another(nodes, come_in):
    bearer = sign_in(nodes[0])
    used = ticket(nodes[0], bearer)
    come_in(nodes[1], "admin", ticket=used)
    assert {refusal(node, "admin", ticket=used) for node in nodes} == {4001}


def test_a_ticket_is_used_once_by_sockets_that_race(nodes):
    used = ticket(nodes[0], sign_in(nodes[0]))

    def take(number):
        talker = Websockets(f"ws://{nodes[number % 3].host}/ws?ticket={used}")
        try:
            return talker.socket.recv(timeout=PATIENCE)
        except ConnectionClosed:
            return talker.socket.protocol.close_code
        finally:
            talker.drop()

    with ThreadPoolExecutor(9) as threads:
        answers = list(threads.map(take, range(9)))
    assert answers.count(4001) == 8, answers


def test_a_logout_at_one_node_ends_the_sign_in_at_all(nodes, come_in):
    bearer = sign_in(nodes[0])
    sockets = [come_in(node, "admin", ticket=ticket(node, bearer)) for node in nodes]
    unused = ticket(nodes[2], bearer)
    other = come_in(nodes[1], "admin", ticket=ticket(nodes[0], sign_in(nodes[2])))
    assert nodes[0].rest.post("/auth/logout", headers=bearer).status_code == 204
    assert {one.close_code()[0] for one in sockets} == {4002}
    until(lambda: all(node.rest.post("/auth/ws-ticket", headers=bearer).status_code == 401 for node in nodes))
    assert refusal(nodes[1], "admin", ticket=unused) in [4001, 4002]
    other.send("room_list")
    other.expect("room_list")


def test_a_node_that_starts_later_refuses_what_was_logged_out(nodes):
    bearer = sign_in(nodes[0])
    assert nodes[0].rest.post("/auth/logout", headers=bearer).status_code == 204
    nodes[2].end()
    nodes[2].start()
    until(nodes[2].is_ready)
    assert nodes[2].rest.post("/auth/ws-ticket", headers=bearer).status_code == 401


def test_an_id_that_is_sent_again_at_another_node_has_its_first_position(nodes, come_in):
    first, second = come_in(nodes[0], "kim", KEY), come_in(nodes[1], "kim", KEY)
    for tab in [first, second]:
        tab.join("tech")
    first.send("chat", room="tech", content="안녕", id="1")
    position = next_of(second, "chat")["position"]
    second.send("chat", room="tech", content="안녕", id="1")
    assert second.expect("ack") == {"type": "ack", "id": "1", "position": position}
    second.send("chat", room="tech", content="other", id="1")
    assert second.expect("error")["code"] == "id_reused"
    assert len(nodes[2].rest.get("/rooms/tech/history").json()["messages"]) == 1


def test_whoever_comes_back_at_another_node_is_told_what_was_missed(nodes, come_in):
    kim, lee = come_in(nodes[0], "kim"), come_in(nodes[1], "lee")
    since = kim.join("tech")["position"]
    kim.drop()
    lee.join("tech")
    for number in range(80):
        lee.send("chat", room="tech", content=str(number), id=str(number))
        next_of(lee, "chat")
        next_of(lee, "ack")
    back = come_in(nodes[2], "kim").join("tech", since=since)
    assert back["recovered"] is True
    assert [one["content"] for one in back["history"]] == [str(number) for number in range(80)]


def test_a_name_that_is_held_at_one_node_is_held_at_all(nodes, come_in):
    come_in(nodes[0], "kim", KEY)
    assert [refusal(node, "kim") for node in nodes] == [4005] * 3
    assert [refusal(node, "kim", OTHER_KEY) for node in nodes] == [4005] * 3
    for node in nodes:
        come_in(node, "kim", KEY)


def test_a_name_that_is_shared_at_one_node_cannot_be_held_at_another(nodes, come_in):
    come_in(nodes[0], "kim")
    come_in(nodes[1], "kim")
    assert refusal(nodes[2], "kim", KEY) == 4005


@pytest.mark.parametrize("at", range(3))
def test_an_event_of_one_node_is_told_at_all(nodes, at):
    before = post(nodes[at], number=0)
    streams = [over_httpx(f"{node.url}/sse/tried", last_event_id=before) for node in nodes]
    events = [stream.__enter__() for stream in streams]
    try:
        posted = [str(post(nodes[number % 3], number=number)) for number in range(9)]
        assert [[next(source).id for _ in posted] for source in events] == [posted] * 3
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)


def test_a_stream_goes_on_at_another_node(nodes):
    before = post(nodes[0], number=0)
    with over_httpx(f"{nodes[0].url}/sse/tried", last_event_id=before) as events:
        posted = post(nodes[1], number=1)
        assert next(events).id == str(posted)
    missed = [post(nodes[number % 3], number=number) for number in range(5)]
    with over_httpx(f"{nodes[2].url}/sse/tried", last_event_id=posted) as events:
        told = [next(events) for _ in missed]
    assert [one.id for one in told] == [str(one) for one in missed]
    assert [one.data for one in told] == [{"number": number} for number in range(5)]


def test_all_nodes_tell_one_sequence_without_a_hole(nodes):
    begin = int(post(nodes[0], number=0))
    streams = [over_httpx(f"{node.url}/sse/all", last_event_id=begin) for node in nodes]
    sources = [stream.__enter__() for stream in streams]
    try:
        told = [[next(source) for _ in range(8)] for source in sources]
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)
    assert told[0] == told[1] == told[2]
    assert [int(one.id) for one in told[0]] == list(range(begin + 1, begin + 9))


def test_each_node_knows_how_many_there_are(nodes):
    assert [node.figure("nodes") for node in nodes] == [3] * 3
    assert [node.figure("up") for node in nodes] == [1] * 3
    assert nodes[2].end() == 0
    for node in nodes[:2]:
        until(lambda node=node: node.figure("nodes") == 2)


def test_a_stampede_costs_the_engine_one_read_a_room_and_node(nodes, shared_engines, find, come_in):
    engine = shared_engines(find)

    def reads():
        lines = engine.ask("INFO", "commandstats").splitlines()
        found = [line for line in lines if line.startswith("cmdstat_xrevrange:")]
        return int(found[0].split("calls=")[1].split(",")[0]) if found else 0

    talkers = [come_in(node, f"first-{number}") for number, node in enumerate(nodes)]
    for talker in talkers:
        talker.join("stampede")
    talkers[0].send("chat", room="stampede", content="안녕하세요!", id="1")
    while (message := any_of(talkers[0]))["type"] != "ack":
        pass
    position = message["position"]
    before = reads()
    others = [come_in(node, f"m{number}") for number in range(20) for node in nodes]
    for other in others:
        other.send("join", room="stampede", since=position)
    for other in others:
        assert next_of(other, "room_joined")["recovered"] is True
    assert reads() == before


def test_the_dashboard_of_grafana_shows_figures_that_a_node_has(nodes):
    shown = set(re.findall(r"sarang_cluster_\w+", nodes[0].rest.get("/grafana.json").text))
    page = nodes[0].rest.get("/metrics").text
    told = set(re.findall(r"^# TYPE (sarang_cluster_\w+)", page, re.MULTILINE))
    assert {re.sub("_(bucket|count)$", "", name) for name in shown} == told

"""A rolling restart behind a load balancer: nobody loses a message, hears one twice, or hears them in another order."""

import signal

from websockets.exceptions import ConnectionClosed

from engines import until
from ledger import PEOPLE, under_load

# Closed 20 ms after each other: several seconds are left when the first of them is somewhere else.
MANY = 200


def roll(nodes, load):
    """One node after the other, as an operator does it: the next when the last is ready."""
    for node in nodes:
        assert node.end() == 0
        load.goes_on()
        node.start()
        until(node.is_ready)
        load.goes_on()


def test_nothing_is_lost_in_a_rolling_restart(start_engine, start_nodes, start_front):
    nodes = start_nodes(start_engine().url)
    front = start_front(nodes)
    with under_load(nodes, [front]) as load:
        roll(nodes, load)
    # Every node had people, so everybody who was at one has moved.
    assert sum(person.connections for person in load.people) > len(PEOPLE)
    assert not any(node.logged("lease_lost") or node.logged("node_swept") for node in nodes)


def test_a_second_rolling_restart_finds_no_remains_of_the_first(start_engine, start_nodes, start_front, come_in):
    engine = start_engine()
    nodes = start_nodes(engine.url)
    front = start_front(nodes)
    with under_load(nodes, [front]) as load:
        for _ in range(2):
            roll(nodes, load)
    # Everybody has gone, at whichever node they were.
    until(lambda: all(room["users"] == 0 for room in nodes[0].rest.get("/rooms").json()["rooms"]))
    alone = come_in(nodes[1], "alone")
    for room in load.ledger.said:
        assert alone.join(room)["online_users"] == []


def is_closed(talker):
    try:
        talker.socket.recv(timeout=0)
    except TimeoutError:
        return False
    except ConnectionClosed:
        return True
    raise AssertionError("nobody says anything")


def is_served(talker):
    """Whether it is still answered, which none is that the node has closed."""
    try:
        talker.send("room_list")
        return bool(talker.expect("room_list"))
    except ConnectionClosed:
        return False


def test_the_sockets_of_a_node_that_stops_are_closed_one_after_the_other(nodes, come_in):
    people = [come_in(nodes[0], f"guest {number}") for number in range(MANY)]
    nodes[0].process.send_signal(signal.SIGTERM)
    until(lambda: any(is_closed(person) for person in people))
    # The first is elsewhere before the last has to go.
    come_in(nodes[1], "mover").join("tech")
    assert any(is_served(person) for person in reversed(people)), "all were closed at once"
    assert {person.close_code()[0] for person in people} == {1001}
    # All were closed before the node ended, which was in time for it.
    assert nodes[0].end() == 0

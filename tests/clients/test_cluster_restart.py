"""A rolling restart behind a load balancer: nobody loses a message, hears one twice, or hears them in another order."""

from engines import until
from ledger import PEOPLE, under_load


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

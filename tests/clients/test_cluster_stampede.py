"""Everybody comes back at once: what that costs the engine, and that everybody is told exactly what was missed.

SARANG_CLUSTER_STAMPEDE (5,000) is how many there are.
"""

import json
import os

from crowds import Crowd
from engines import until

COUNT = int(os.environ.get("SARANG_CLUSTER_STAMPEDE", "5000"))
ROOMS = [f"광장 {number}" for number in range(5)]
MISSED = [f"{number}: 안녕하세요!" for number in range(20)]


def calls(engine):
    """How often each command was carried out, also inside of scripts."""
    stats = [line.split(":") for line in engine.ask("INFO", "commandstats").splitlines() if ":" in line]
    return {name.removeprefix("cmdstat_"): int(rest.split("calls=")[1].split(",")[0]) for name, rest in stats}


def say(speaker, room, content):
    """Returns the position."""
    speaker.send("chat", room=room, content=content, id=content)
    while (message := json.loads(speaker.receive()))["type"] != "ack":
        assert message["type"] != "error", message
    return message["position"]


def contents(messages):
    return [one["content"] for one in messages]


def test_a_stampede_after_a_restart_costs_one_read_a_room_and_node(start_engine, start_nodes, come_in, ends):
    engine = start_engine()
    nodes = start_nodes(engine.url, "--room-users", str(COUNT + 1))
    speakers = {room: come_in(nodes[2], f"speaker in {room}") for room in ROOMS}
    for room, speaker in speakers.items():
        speaker.join(room)
    crowd = ends(Crowd(COUNT, ROOMS))
    crowd.connect(nodes[:2])
    crowd.until_each(lambda guest: guest.joined)
    since = {guest.room: guest.joined["position"] for guest in crowd.guests}
    for node in nodes[:2]:
        node.kill()
    crowd.drop()
    for room, speaker in speakers.items():
        for content in MISSED:
            say(speaker, room, content)
    for node in nodes[:2]:
        node.start()
        until(node.is_ready)
    before = calls(engine)
    crowd.connect(nodes[:2])
    crowd.until_each(lambda guest: guest.joined, since)
    after = calls(engine)
    for guest in crowd.guests:
        assert guest.joined["recovered"] is True
        assert contents(guest.joined["history"]) == MISSED
    more = {name: after[name] - before.get(name, 0) for name in after}
    print({name: number for name, number in sorted(more.items()) if number})
    assert more["xrevrange"] == len(ROOMS) * 2
    for room, speaker in speakers.items():
        say(speaker, room, "next")
    crowd.until_each(lambda guest: guest.told)
    assert all(contents(guest.told) == ["next"] for guest in crowd.guests)

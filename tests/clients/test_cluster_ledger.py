"""One fault after the other, at random, under load: then the ledger is right.

SARANG_CLUSTER_FAULTS (6) is how many there are, SARANG_CLUSTER_SEED which.
"""

import os
import random
import time

from engines import until
from ledger import under_load

FAULTS = int(os.environ.get("SARANG_CLUSTER_FAULTS", "6"))


class Trouble:
    """What can happen to a pair of engines and three nodes. Each ends with all of them up again."""

    def __init__(self, pair, nodes, load, chance):
        self.pair, self.nodes, self.load, self.chance = pair, nodes, load, chance

    def happens(self):
        fault = self.chance.choice(
            [
                self.node_killed,
                self.node_ended,
                self.node_paused,
                self.engine_killed,
                self.engine_paused,
                self.connections_killed,
                self.failed_over,
                self.failed_over_without_tail,
                self.flushed,
                self.scripts_flushed,
            ]
        )
        print(fault.__name__, flush=True)
        fault()
        self.nodes.wait_until_ready()

    def goes_on(self):
        self.load.goes_on(self.chance.randrange(1, 60))

    def lasts(self):
        """Some faults are shorter than every deadline, some longer."""
        time.sleep(self.chance.choice([0.5, 3, 14]))

    def node_killed(self):
        node = self.chance.choice(self.nodes)
        node.kill()
        self.goes_on()
        node.start()

    def node_ended(self):
        node = self.chance.choice(self.nodes)
        assert node.end() == 0
        self.goes_on()
        node.start()

    def node_paused(self):
        node = self.chance.choice(self.nodes)
        node.pause()
        self.lasts()
        node.resume()

    def engine_killed(self):
        self.pair.primary.restart()
        until(self.pair.is_level)

    def engine_paused(self):
        self.pair.primary.pause()
        self.lasts()
        self.pair.primary.resume()

    def connections_killed(self):
        self.pair.primary.ask("CLIENT", "KILL", "TYPE", "pubsub")

    def failed_over(self):
        self.pair.fail_over()
        self.goes_on()
        self.pair.rejoin()

    def failed_over_without_tail(self):
        self.pair.link.stall()
        until(self.pair.lacks_tail)
        self.goes_on()
        self.failed_over()

    def flushed(self):
        self.pair.primary.ask("FLUSHALL")

    def scripts_flushed(self):
        self.pair.primary.ask("SCRIPT", "FLUSH")


def test_the_ledger_is_right_after_random_faults(start_pair, start_nodes):
    seed = int(os.environ.get("SARANG_CLUSTER_SEED", time.time_ns()))
    print(f"SARANG_CLUSTER_SEED={seed}")
    pair = start_pair("--appendonly", "yes", "--appendfsync", "always")
    nodes = start_nodes(pair.url)
    with under_load(nodes, lossless=False) as load:
        trouble = Trouble(pair, nodes, load, random.Random(seed))
        for _ in range(FAULTS):
            trouble.happens()
            trouble.goes_on()
    print(f"{FAULTS} faults, {load.ledger.acknowledged} acknowledgements")

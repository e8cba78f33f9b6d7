"""Fixtures of the tests with many nodes; conftest.py takes them over."""

import itertools

import pytest

from engines import ENGINES, Engine, Pair, Relay, Sentinel
from nodes import QUICK, Front, Nodes
from talkers import Websockets

# Tests that share an engine have keys of their own.
PREFIXES = itertools.count(1)


@pytest.fixture(scope="session")
def shared_engines(tmp_path_factory):
    """One of each kind for all tests that leave it as it is."""
    engines = {}

    def shared(find):
        if find not in engines:
            engines[find] = Engine(find, tmp_path_factory.mktemp(find.__name__))
        return engines[find]

    yield shared
    for engine in engines.values():
        engine.stop()


@pytest.fixture(params=ENGINES, ids=lambda find: find.__name__)
def find(request):
    """Each kind of engine in turn."""
    return request.param


@pytest.fixture
def ends():
    """Ends what a test has started, the last first."""
    started = []
    yield lambda one: started.append(one) or one
    for one in reversed(started):
        one.stop()


@pytest.fixture
def start_engine(find, ends, tmp_path):
    """Starts an engine that the test may break."""
    return lambda *options: ends(Engine(find, tmp_path / "engine", *options))


@pytest.fixture
def start_pair(find, ends, tmp_path):
    return lambda *options: ends(Pair(find, tmp_path / "pair", *options))


@pytest.fixture
def start_sentinel(find, ends, tmp_path):
    return lambda primary: ends(Sentinel(find, tmp_path / "sentinel", primary))


@pytest.fixture
def start_relay(ends):
    return lambda engine: ends(Relay(engine.address))


@pytest.fixture
def start_nodes(ends, tmp_path):
    """Starts three nodes at these engines' addresses: one for all, or one for each."""

    def start(url, *options):
        urls = [url] * 3 if isinstance(url, str) else url
        return ends(Nodes(urls, tmp_path / "nodes", *QUICK, *options)).begin()

    return start


@pytest.fixture
def start_front(ends, tmp_path):
    return lambda nodes: ends(Front(tmp_path / "front", nodes))


@pytest.fixture
def nodes(shared_engines, find, start_nodes, request):
    """Three nodes on an engine that stays well; `cluster_options` is a mark with more options."""
    mark = request.node.get_closest_marker("cluster_options")
    options = mark.args if mark else []
    return start_nodes(shared_engines(find).url, "--cluster-prefix", f"t{next(PREFIXES)}:", *options)


@pytest.fixture
def come_in():
    """Connects guests, and those who have a ticket."""
    talkers = []

    def come_in(node, name, key=None, ticket=None):
        url = f"ws://{node.host}/ws?ticket={ticket}" if ticket else node.socket_url(name, key)
        talkers.append(Websockets(url))
        assert talkers[-1].expect("welcome")["username"] == name
        return talkers[-1]

    yield come_in
    for talker in talkers:
        talker.drop()

"""Event streams and metrics through third-party libraries."""

import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from listeners import LISTENERS, PATIENCE, over_http_client, over_httpx

KINDS = ["system_metrics", "api_metrics", "business_metrics"]
# The ring keeps 200 events; a subscriber that lags by less never sees a gap.
AHEAD_MAX = 100
# The minimum number of cuts of each stream, and the minimum duration of the test in seconds.
CUTS_MIN = 6
CUT_FOR = 15


@pytest.fixture(params=LISTENERS, ids=lambda listener: listener.__name__)
def listen(request):
    return request.param


def post(server, **figures):
    """Posts figures of a back end and returns the id of their event."""
    return tell(server, "business", figures)


def tell(server, channel, data):
    """Posts an event of a channel and returns its id."""
    response = server.rest.post(f"/events/{channel}", json=data)
    assert response.status_code == 200, response.text
    return response.json()["id"]


def take(events, count):
    return list(itertools.islice(events, count))


def test_a_stream_begins_with_the_latest_events(server, listen):
    with listen(f"{server.url}/sse/dashboard") as events:
        first = take(events, 3)
    assert [(one.name, one.id) for one in first] == list(zip(KINDS, "123", strict=True))
    system, api, business = (one.data for one in first)
    assert all(0 <= system[name] <= 100 for name in ["cpu", "memory", "disk"])
    assert {"requests", "avg_response_ms", "error_rate"} <= api.keys()
    assert {"active_users", "revenue", "orders"} <= business.keys()


def test_an_event_arrives_without_another_one_behind_it(server, listen):
    with listen(f"{server.url}/sse/business") as events:
        next(events)
        started = time.monotonic()
        for number in range(5):
            posted = post(server, number=number)
            while (event := next(events)).id != str(posted):
                assert "number" not in event.data or event.data["number"] < number
        # A client that needs more data to return an event waits for the next one, 10 s later: 40 s for all five.
        assert time.monotonic() - started < 40


def test_figures_of_the_machine_come_every_second(server, listen):
    # The period starts before the first event was sent: it may be read late.
    started = time.monotonic()
    with listen(f"{server.url}/sse/system") as events:
        next(events)
        ids = [int(one.id) for one in take(events, 5)]
        elapsed = time.monotonic() - started
    assert ids == sorted(set(ids))
    assert 3 < elapsed < PATIENCE


def test_a_stream_goes_on_where_it_was_cut(server, listen):
    with listen(f"{server.url}/sse/all") as events:
        seen = take(events, 3)[-1].id
    posted = [post(server, number=number, 이름="값\n둘째 줄") for number in range(20)]
    missed = []
    with listen(f"{server.url}/sse/business", last_event_id=seen) as events:
        # The clock may send the same figures in between.
        while posted[-1] not in (int(one.id) for one in missed):
            missed.append(next(events))
    missed = [one for one in missed if int(one.id) in posted]
    assert [int(one.id) for one in missed] == posted
    assert [one.data["number"] for one in missed] == list(range(20))
    assert {one.data["이름"] for one in missed} == {"값\n둘째 줄"}


def test_a_gap_is_reported_and_does_not_change_where_a_stream_goes_on(server, listen):
    with listen(f"{server.url}/sse/all", last_event_id=4000) as events:
        gap, first = take(events, 2)
    assert gap.name == "gap"
    assert gap.data["requested"] == 4000
    assert gap.data["oldest"] <= gap.data["newest"]
    assert first.id == "1"


def test_the_id_may_be_in_the_query(server):
    for listener in [over_httpx, over_http_client]:
        with listener(f"{server.url}/sse/all") as events:
            seen = int(take(events, 2)[-1].id)
        with listener(f"{server.url}/sse/all?last_event_id={seen}") as events:
            assert int(next(events).id) == seen + 1


def test_events_of_ones_own_channels_arrive_as_they_were_posted(server, listen):
    # Some clients break lines at more characters than CR and LF.
    text = "가\n나\r\n\x85\u2028\u2029\x0b\x0c\x1c\x00끝"
    data = {"text": text, text: [text, {"deep": None}], "number": 1.5}
    with listen(f"{server.url}/sse/deploys,alarms") as events:
        sent = [
            ("deploys", tell(server, "deploys", data), data),
            ("alarms", tell(server, "alarms", {"level": 3}), {"level": 3}),
            ("deploys", tell(server, "deploys", {}), {}),
        ]
        tell(server, "others", {})
        got = [(one.name, int(one.id), one.data) for one in take(events, 3)]
    assert got == sent
    # The latest of each comes first, then what is posted later.
    with listen(f"{server.url}/sse/alarms%2Cdeploys") as events:
        last = tell(server, "alarms", {"level": 0})
        assert [int(one.id) for one in take(events, 3)] == [sent[1][1], sent[2][1], last]


def test_a_stream_of_several_channels_goes_on_where_it_was_cut(server, listen):
    begin = tell(server, "deploys", {"n": 0})
    # Nobody listens meanwhile.
    posted = [tell(server, channel, {"n": n}) for n, channel in enumerate(["alarms", "deploys", "others"] * 5)]
    with listen(f"{server.url}/sse/deploys,alarms", last_event_id=begin) as events:
        got = take(events, 10)
    assert [int(one.id) for one in got] == [one for n, one in enumerate(posted) if n % 3 != 2]
    assert [one.name for one in got] == ["alarms", "deploys"] * 5


def test_a_figure_that_is_null_is_removed(server, listen):
    with listen(f"{server.url}/sse/business") as events:
        next(events)
        post(server, revenue=5, visits=6)
        removed = post(server, revenue=None, visits=None)
        last = next(one for one in events if int(one.id) == removed)
    assert "visits" not in last.data
    assert last.data["simulated"] == ["revenue", "orders"]


class Reader:
    """A subscriber whose stream is cut again and again, and who resumes on another channel or connection."""

    def __init__(self, url, listen, channels, seed):
        self.url, self.listen, self.channels = url, listen, channels
        self.random = random.Random(seed)
        self.events = []
        self.cuts = 0

    @property
    def seen(self):
        return int(self.events[-1].id) if self.events else None

    def read_until(self, is_last, progress):
        while not (self.events and is_last(self.events[-1])):
            channel = self.random.choice(self.channels)
            budget = self.random.choice([1, 2, 5, 20, 60])
            with self.listen(f"{self.url}/sse/{channel}", last_event_id=self.seen) as events:
                for event in itertools.islice(events, budget):
                    assert event.name in KINDS, event
                    self.events.append(event)
                    progress.set()
                    if is_last(event):
                        break
            self.cuts += 1


def publish_while_read(server, readers, futures, progress):
    """Posts as fast as the slowest reader reads, so that no reader ever sees a gap."""
    posted, end = [], time.monotonic() + CUT_FOR
    deadline = end + PATIENCE

    def is_enough():
        now = time.monotonic()
        return now > deadline or (now > end and min(reader.cuts for reader in readers) >= CUTS_MIN)

    while not is_enough() and not any(future.done() for future in futures):
        slowest = min(reader.seen or 0 for reader in readers)
        if posted and posted[-1] - slowest > AHEAD_MAX:
            progress.wait(PATIENCE)
            progress.clear()
            continue
        posted.append(post(server, number=len(posted)))
    posted.append(post(server, last=True))
    return posted


def test_streams_that_are_cut_at_random_have_no_hole_and_nothing_twice(server):
    seed = random.randrange(2**32)
    print("seed", seed)
    ways = itertools.product(LISTENERS, [["all"], ["all", "dashboard", "business"]])
    readers = [Reader(server.url, *way, seed=f"{seed} {number}") for number, way in enumerate(ways)]
    progress = threading.Event()
    # The first events are the same for every reader.
    with over_httpx(f"{server.url}/sse/all") as events:
        begin = take(events, 3)
        for reader in readers:
            reader.events.extend(begin)
        with ThreadPoolExecutor(len(readers)) as pool:
            futures = [pool.submit(reader.read_until, lambda one: "last" in one.data, progress) for reader in readers]
            posted = publish_while_read(server, readers, futures, progress)
            for future in futures:
                future.result(PATIENCE)
    for reader in readers:
        ids = [int(one.id) for one in reader.events]
        assert ids == sorted(set(ids)), f"twice or out of order: {reader.listen.__name__} {reader.channels}"
        if reader.channels == ["all"]:
            assert ids == list(range(1, posted[-1] + 1)), reader.listen.__name__
        lost = set(posted) - set(ids)
        assert not lost, f"{reader.listen.__name__} {reader.channels} after {reader.cuts} cuts"
    assert min(reader.cuts for reader in readers) >= CUTS_MIN


def families(server):
    page = server.rest.get("/metrics")
    assert page.status_code == 200
    return {family.name: family for family in text_string_to_metric_families(page.text)}


def value(family, **labels):
    (sample,) = [one for one in family.samples if labels.items() <= one.labels.items()]
    return sample.value


def test_metrics_are_read_by_the_clients_of_prometheus(server):
    with over_httpx(f"{server.url}/sse/all") as events:
        before = int(take(events, 3)[-1].id)
        server.rest.get("/rooms/none")
        found = families(server)
        after = post(server, number=1)
    assert all(name.startswith("sarang_") for name in found.keys() - {"process_start_time_seconds"})
    assert all(family.documentation and family.type != "unknown" for family in found.values())
    assert value(found["sarang_connections"], kind="event_stream") == 1
    assert value(found["sarang_subscribers"], channel="all") == 1
    assert value(found["sarang_responses"], status="404") == 1
    # The clock may add events while the page is fetched.
    assert 3 == before <= value(found["sarang_events"]) < after
    assert value(found["sarang_resident_memory_bytes"]) > 2**20


def test_the_durations_of_turns_are_a_histogram(server):
    family = families(server)["sarang_turn_duration_seconds"]
    assert family.type == "histogram"
    buckets = [(float(one.labels["le"]), one.value) for one in family.samples if one.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1][0] == float("inf")
    counts = {one.name.rpartition("_")[2]: one.value for one in family.samples if not one.labels}
    assert counts["count"] == buckets[-1][1] > 0
    assert counts["sum"] > 0


def test_counters_only_grow(server):
    before = families(server)
    for _ in range(3):
        server.rest.get("/rooms")
        post(server, orders=1)
    after = families(server)
    for name, family in before.items():
        if family.type != "counter":
            continue
        grown = {tuple(one.labels.items()): one.value for one in after[name].samples}
        for sample in family.samples:
            assert grown[tuple(sample.labels.items())] >= sample.value, name
    assert value(after["sarang_events"]) - value(before["sarang_events"]) == 3

"""The metrics in the eyes of promtool and of Prometheus, and the dashboard for Grafana on what Prometheus has read."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import httpx
import jwt
import pytest
from conftest import PATIENCE
from proxies import end, free_port
from talkers import Websockets

README = Path(__file__).parents[2] / "README.md"
SECRET = "of a server that Prometheus watches, known to its operator only"
needs_prometheus = pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed")


def promtool(*arguments, **options):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=PATIENCE, **options)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


@pytest.fixture
def watched(start, tmp_path):
    """A server with accounts that has had every kind of traffic, and the token of whoever watches it."""
    (tmp_path / "secrets").write_text(f"one:{SECRET}\n")
    add = [os.environ["SARANG_BIN"], "user", "add", "홍길동", "--users", str(tmp_path / "users")]
    subprocess.run(add, input="비밀번호\n", text=True, check=True, timeout=PATIENCE)
    server = start(
        "--users", str(tmp_path / "users"), "--secret-file", str(tmp_path / "secrets"), "--guests", "--trusted-proxy", "127.0.0.1",
        "--data", str(tmp_path / "data"),
    )
    now = int(time.time())
    claims = {"sub": "prometheus", "iat": now, "exp": now + 31_536_000}
    server.token = jwt.encode(claims, SECRET, "HS256")
    server.rest.headers["Authorization"] = f"Bearer {server.token}"
    client = {"X-Forwarded-For": "192.0.2.1"}
    for fields in [{}, client, {**client, "Forwarded": "for=192.0.2.2"}]:
        assert server.rest.get("/rooms", headers=fields).status_code == 200
    assert server.rest.get("/rooms/none").status_code == 404
    for password, status in [("비밀번호", 200), ("wrong", 401)]:
        login = server.rest.post("/auth/login", json={"username": "홍길동", "password": password})
        assert login.status_code == status, login.text
    kim, lee = (Websockets(server.socket_url(name) + "&key=0123456789abcdef") for name in ["김철수", "이영희"])
    for guest in [kim, lee]:
        guest.expect("welcome")
        guest.join("tech")
    lee.send("chat", room="tech", content="안녕하세요!")
    lee.expect("chat")
    nobody = Websockets(server.socket_url("홍길동"))
    assert nobody.close_code()[0] == 4001
    # It stays, so that there is a stream, a WebSocket and a member; the other has a grace.
    kim.drop()
    stream = httpx.Client(trust_env=False, timeout=PATIENCE, headers=dict(server.rest.headers))
    with stream, stream.stream("GET", f"{server.url}/sse/deploys,api") as events:
        assert server.rest.post("/events/deploys", json={"version": "1.2"}).status_code == 200
        next(events.iter_lines())
        yield server
    lee.drop()


@needs_prometheus
def test_promtool_has_nothing_to_say_about_the_metrics(watched):
    page = watched.rest.get("/metrics").text
    empty = {name for name in re.findall(r"^# TYPE (\S+)", page, re.M) if not re.search(rf"^{name}(_count)?[ {{]", page, re.M)}
    assert not empty, "the traffic was not of every kind"
    assert promtool("check", "metrics", input=page) == ""


def test_a_server_without_traffic_has_metrics_too(start):
    page = start().rest.get("/metrics").text
    if shutil.which("promtool"):
        assert promtool("check", "metrics", input=page) == ""
    assert 'sarang_forwarded_addresses_total{outcome="taken"} 0\n' in page


def scrape_config(folder, server):
    """README's lines with another address, with the token, and with an interval that a test can await."""
    (lines,) = re.findall(r"^```yaml\n(scrape_configs:\n.*?)^```$", README.read_text(), re.M | re.S)
    assert lines.count("127.0.0.1:8000") == lines.count("# authorization") == 1
    lines = lines.replace("127.0.0.1:8000", server.host).replace("# authorization", "authorization")
    lines = re.sub(r"TOKEN \}.*", f"{server.token} }}", lines)
    file = folder / "prometheus.yml"
    file.write_text(f"global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n{lines}")
    return file


class Prometheus:
    def __init__(self, folder, server):
        config, port = scrape_config(folder, server), free_port()
        promtool("check", "config", str(config))
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        self.rest = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False)

    def query(self, expression):
        """The series of an expression as soon as there are some: a rate needs two scrapes."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self.rest.get("/api/v1/query", params={"query": expression})
            except httpx.ConnectError:
                answer = None
            # 503 until it has started.
            if answer is not None and answer.status_code != 503:
                assert answer.json()["status"] == "success", f"{expression}: {answer.text}"
                if found := answer.json()["data"]["result"]:
                    return found
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"nothing came of {expression}"
            time.sleep(0.1)

    def stop(self):
        self.rest.close()
        end(self.process)


@pytest.fixture
def prometheus(watched, tmp_path):
    prometheus = Prometheus(tmp_path, watched)
    yield prometheus
    prometheus.stop()


def board_of(server):
    return httpx.get(f"{server.url}/grafana.json", trust_env=False).raise_for_status().json()


def expression(text):
    for name, value in [("$__rate_interval", "1m"), ("$instance", ".*")]:
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


@needs_prometheus
def test_every_expression_of_the_dashboard_yields_something_of_a_server_that_had_traffic(watched, prometheus):
    assert prometheus.query('up{job="sarang"} == 1')
    for panel in board_of(watched)["panels"]:
        for target in panel["targets"]:
            if "sarang_cluster_" in target["expr"]:
                # Of a server with others: test_cluster.py.
                continue
            for series in prometheus.query(expression(target["expr"])):
                for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                    assert series["metric"].get(label), (panel["title"], target, series)
    # What the variable of the dashboard offers.
    assert {one["metric"]["instance"] for one in prometheus.query("sarang_build_info")} == {watched.host}


@needs_prometheus
def test_the_dashboard_shows_whether_a_server_is_to_stop(start, tmp_path):
    server = start("--drain-delay", "60")
    server.token = "nobody asks for one"
    prometheus = Prometheus(tmp_path, server)
    try:
        (state,) = [panel for panel in board_of(server)["panels"] if panel["title"] == "State"]
        asked = expression(state["targets"][0]["expr"])
        assert prometheus.query(f"{asked} == 0")
        server.process.send_signal(signal.SIGTERM)
        assert prometheus.query(f"{asked} == 1")
    finally:
        prometheus.stop()


def test_the_dashboard_is_one_that_current_grafana_imports(server):
    board = board_of(server)
    assert board["uid"] and board["title"] and board["schemaVersion"] >= 36
    assert "id" not in board, "it would replace whatever has this number"
    source, instance = board["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    asked = {"type": "prometheus", "uid": f"${{{source['name']}}}"}
    assert instance["datasource"] == asked
    panels, cells = board["panels"], set()
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        # Not those that were built on Angular, which is gone: graph, singlestat, table-old.
        assert panel["type"] in ["timeseries", "stat"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == asked and panel["targets"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert all(target["datasource"] == asked for target in panel["targets"])
        at = panel["gridPos"]
        covered = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not covered & cells, panel["title"]
        cells |= covered


def test_every_figure_that_says_how_the_server_does_is_on_the_dashboard(server):
    shown = json.dumps(board_of(server))
    names = re.findall(r"^# TYPE (\S+)", server.rest.get("/metrics").text, re.M)
    assert [name for name in names if name not in shown] == []

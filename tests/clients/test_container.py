"""README's image, without a container engine: what is in it runs as its lines say, in an empty root directory that is
read-only, as a user without rights, with a stdout that takes nothing."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import httpx
import pytest
from conftest import PATIENCE
from proxies import free_port
from test_binary import PT_INTERP, program_header_types

README = Path(__file__).parents[2] / "README.md"
BIN = os.environ["SARANG_BIN"]

# The root directory and the folder of accounts as mounts that cannot be written, that of the store as one that can; then
# the program of the image.
ENTER = """
set -e
mount --bind "$1" "$1"
mount --bind "$2" "$1/data"
mount --bind "$3" "$1/store"
mount -o remount,bind,ro "$1/data"
mount -o remount,bind,ro "$1"
root=$1 user=$4
shift 4
exec chroot --userspec="$user" --groups= "$root" "$@"
"""


class Image:
    """The second stage of README's Dockerfile."""

    def __init__(self):
        (text,) = re.findall(r"^```dockerfile\n(.*?)^```$", README.read_text(), re.M | re.S)
        stages = re.split(r"^FROM ", text, flags=re.M)
        assert [stage.splitlines()[0] for stage in stages[1:]] == ["rust:1-bookworm AS build", "scratch"]
        self.lines = stages[2].splitlines()[1:]
        assert self.of("COPY") == ["--from=build /sarang/target/release/sarang /sarang"]
        self.environment = dict(pair.split("=", 1) for line in self.of("ENV") for pair in shlex.split(line))
        (self.user,) = self.of("USER")
        (entry,) = self.of("ENTRYPOINT")
        self.entry = json.loads(entry)
        (health,) = self.of("HEALTHCHECK")
        self.health = json.loads(health.partition("CMD ")[2])

    def of(self, instruction):
        return [line.removeprefix(instruction).strip() for line in self.lines if line.startswith(instruction + " ")]


class Container:
    def __init__(self, folder):
        self.image = Image()
        self.root, self.people, self.store = folder / "root", folder / "people", folder / "store"
        for path in [self.root, self.people, self.store, self.root / "data", self.root / "store"]:
            path.mkdir()
            path.chmod(0o755)
        shutil.copy(BIN, self.root / "sarang")
        self.port = free_port()
        assert self.image.environment["SARANG_LISTEN"] == "0.0.0.0:8000" and self.image.of("EXPOSE") == ["8000"]
        # Only this machine shall reach it.
        listen = {"SARANG_LISTEN": f"127.0.0.1:{self.port}", "PATH": os.environ["PATH"]}
        self.environment = {**self.image.environment, **listen}
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def command(self, *command):
        return ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(self.root), str(self.people), str(self.store), self.image.user, *command]

    def add(self, name):
        """As the container with the writable folder does it: the file belongs to the user of the image."""
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(self.root / "sarang"), "user", "add", name, "--users", str(self.people / "users")]
        subprocess.run(command, input="비밀번호\n", text=True, check=True, timeout=PATIENCE)

    def start(self):
        with open("/dev/full", "w") as full, open(self.root.parent / "log", "w") as log:
            self.process = subprocess.Popen(
                self.command(*self.image.entry), stdin=subprocess.DEVNULL, stdout=full, stderr=log,
                env=self.environment,
            )

    def is_healthy(self):
        return subprocess.run(self.command(*self.image.health), env=self.environment, capture_output=True, timeout=PATIENCE).returncode == 0

    def sign_in(self, name):
        account = {"username": name, "password": "비밀번호"}
        return httpx.post(f"{self.url}/auth/login", json=account, trust_env=False, timeout=PATIENCE).status_code

    def log(self):
        return (self.root.parent / "log").read_text()


def until(holds, container):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, container.log()
        time.sleep(0.05)


@pytest.fixture
def container():
    if os.geteuid() != 0:
        pytest.skip("only root may mount and change the root directory")
    if PT_INTERP in program_header_types(BIN):
        pytest.skip("the binary is dynamic here")
    # The user of the image passes through it, as they may not through pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="sarang-"))
    folder.chmod(0o755)
    container = Container(folder)
    for folder_of_user in [container.people, container.store]:
        os.chown(folder_of_user, 65534, 65534)
    probe = subprocess.run(container.command("/sarang", "--version"), capture_output=True, text=True, timeout=PATIENCE)
    if probe.returncode != 0:
        shutil.rmtree(folder)
        pytest.skip(f"this machine allows no mounts: {probe.stderr}")
    yield container
    if container.process and container.process.poll() is None:
        container.process.kill()
        container.process.wait(PATIENCE)
    shutil.rmtree(folder)


def test_the_image_serves_as_its_lines_say(container):
    container.add("홍길동")
    assert not container.is_healthy()
    container.start()
    until(container.is_healthy, container)
    status = Path(f"/proc/{container.process.pid}/status").read_text()
    assert re.search(r"^Uid:\s+65534\s+65534\s+65534\s+65534$", status, re.M)
    assert re.search(r"^CapEff:\s+0+$", status, re.M)
    assert "event=stdout_failed" in container.log()
    assert httpx.get(container.url, trust_env=False).status_code == 200
    assert (container.sign_in("홍길동"), container.sign_in("김철수")) == (200, 401)
    container.process.send_signal(signal.SIGTERM)
    assert container.process.wait(PATIENCE) == 0


def test_an_account_added_beside_the_container_is_good_after_sighup(container):
    container.add("홍길동")
    container.start()
    until(container.is_healthy, container)
    container.add("김철수")
    container.process.send_signal(signal.SIGHUP)
    until(lambda: container.sign_in("김철수") == 200, container)
    assert "reload_failed" not in container.log()


def test_what_is_in_the_volume_of_the_store_is_there_in_the_next_container(container):
    volume = re.search(r'-v "\$PWD/store:(\S+)" -e SARANG_DATA=(\S+) sarang$', README.read_text(), re.M)
    assert volume.groups() == ("/store", "/store")
    container.environment["SARANG_DATA"] = "/store"
    container.add("홍길동")
    for is_first in [True, False]:
        container.start()
        until(container.is_healthy, container)
        account = {"username": "홍길동", "password": "비밀번호"}
        with httpx.Client(base_url=container.url, trust_env=False, timeout=PATIENCE) as rest:
            token = rest.post("/auth/login", json=account).json()["access_token"]
            rest.headers["Authorization"] = f"Bearer {token}"
            if is_first:
                assert rest.post("/rooms", json={"name": "tech"}).status_code == 201
            assert rest.get("/rooms/tech").status_code == 200
        container.process.send_signal(signal.SIGKILL)
        container.process.wait(PATIENCE)

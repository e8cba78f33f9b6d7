"""Proxies in front of the server, with the lines of README.md, as child processes with folders of their own."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx

# Not a threshold: after this time, an expected answer will never come.
PATIENCE = 30
README = Path(__file__).parents[2] / "README.md"
# A user's PATH may lack the folder of Debian's servers.
FOLDERS = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
APACHE_MODULES = Path("/usr/lib/apache2/modules")


def lines_of(language, *changes):
    """The block of README.md in this language, with other addresses and ports only."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    for old, new in changes:
        assert block.count(old) == 1, f"{old} is not in the lines for {language}"
        block = block.replace(old, new)
    return block


def nginx(folder, port, server):
    block = lines_of("nginx", ("listen 80;", f"listen 127.0.0.1:{port};"), ("127.0.0.1:8000", server.host))
    temporary = "".join(
        f"{what}_temp_path {folder}/{what};\n" for what in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    )
    outside = f"daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\n"
    config = folder / "nginx.conf"
    config.write_text(f"{outside}http {{\naccess_log off;\n{temporary}{block}}}\n")
    return ["nginx", "-e", "stderr", "-p", folder, "-c", config]


def nginx_with_prefix(folder, port, server):
    """The same under a prefix, which it removes."""
    command = nginx(folder, port, server)
    text = command[-1].read_text()
    for old, new in [("location / {", "location /chat/ {"), ("proxy_pass http://sarang;", "proxy_pass http://sarang/;")]:
        assert text.count(old) == 1
        text = text.replace(old, new)
    command[-1].write_text(text)
    return command


def caddy(folder, port, server):
    block = lines_of("caddyfile", ("chat.example.com", f"http://127.0.0.1:{port}"), ("127.0.0.1:8000", server.host))
    config = folder / "Caddyfile"
    # Otherwise it listens on every address.
    config.write_text(f"{{\nadmin off\ndefault_bind 127.0.0.1\n}}\n{block}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", config]


def haproxy(folder, port, server):
    block = lines_of("haproxy", ("bind :80", f"bind 127.0.0.1:{port}"), ("127.0.0.1:8000", server.host))
    config = folder / "haproxy.cfg"
    config.write_text(block)
    return ["haproxy", "-db", "-f", config]


def apache(folder, port, server):
    block = lines_of("apache", ("*:80", f"127.0.0.1:{port}"), ("127.0.0.1:8000", server.host))
    names = ["mpm_event", "authz_core", "proxy", "proxy_http", "headers", "filter", "deflate"]
    modules = "".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so\n" for name in names)
    # Started by root, its children run as another user.
    user = "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""
    outside = f"ServerRoot {folder}\nPidFile {folder}/pid\nErrorLog /dev/stderr\nListen 127.0.0.1:{port}\n"
    # The name of this machine may lead nowhere.
    outside += "ServerName 127.0.0.1\nThreadsPerChild 25\nStartServers 1\n"
    config = folder / "apache.conf"
    config.write_text(f"{modules}{user}{outside}{block}")
    return ["apache2", "-DFOREGROUND", "-f", config]


def varnish(folder, port, server):
    host, server_port = server.host.split(":")
    block = lines_of("vcl", ('"127.0.0.1"', f'"{host}"'), ('"8000"', f'"{server_port}"'))
    config = folder / "sarang.vcl"
    config.write_text(block)
    # Without a jail it keeps its user, who may read the folder; it needs few threads here.
    options = ["-j", "none", "-n", folder / "n", "-s", "default,16m", "-p", "thread_pools=1", "-p", "thread_pool_min=10"]
    return ["varnishd", "-F", *options, "-a", f"127.0.0.1:{port}", "-f", config]


def lighttpd(folder, port, server):
    _, server_port = server.host.split(":")
    block = lines_of("lighttpd", ("server.port = 80", f"server.port = {port}"), ("8000", server_port))
    outside = f'server.bind = "127.0.0.1"\nserver.document-root = "{folder}"\nserver.upload-dirs = ( "{folder}" )\n'
    config = folder / "lighttpd.conf"
    config.write_text(f"{outside}{block}")
    return ["lighttpd", "-D", "-f", config]


EVERY = [nginx, caddy, haproxy, apache, varnish, lighttpd]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def end(process):
    """Ends a program as its operator would, and by force if that takes too long."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait(PATIENCE)


class Proxy:
    """A running proxy; it looks like the server to a client."""

    def __init__(self, configure, folder, server):
        self.name = configure.__name__
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        self.rest = self.client()
        name, *arguments = configure(folder, self.port, server)
        program = shutil.which(name, path=FOLDERS)
        assert program, f"{name} is not installed; tests/run installs it"
        homes = {name: str(folder) for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"]}
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **homes}
            )
        self.wait_until_it_listens()

    def wait_until_it_listens(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(ConnectionRefusedError), self.connect():
                return
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def client(self, source="127.0.0.1"):
        """A client at another address of the loopback."""
        transport = httpx.HTTPTransport(local_address=source)
        return httpx.Client(base_url=self.url, timeout=PATIENCE, transport=transport)

    def stop(self):
        self.rest.close()
        end(self.process)

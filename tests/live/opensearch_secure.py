"""OpenSearch with its security plugin: TLS, users, roles. From Maven Central: a distribution without modules, and what we need.

It runs as nobody where we are root, which it refuses to be, from a folder of its own below the machine's temporary one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from s3batch.catalogue.opensearch import OpenSearchCluster, Reach
from s3sync.errors import Transient
from tests.doubles.certificates import Certificate, certificate
from tests.live.fetch import Part, kept, run
from tests.live.opensearch import HEAP, dying_with_us, free_port, java

if TYPE_CHECKING:
    from tests.live.parts import LiveParts

VERSION = "2.19.4"
"""The last one whose distribution is published there."""
START_SECONDS = 120
DISTRIBUTION = f"org.opensearch.distribution.integ-test-zip:opensearch:{VERSION}:zip"
SECURITY = f"org.opensearch.plugin:opensearch-security:{VERSION}.0:zip"
ANALYSIS = f"org.opensearch.plugin:analysis-common:{VERSION}:jar"
DESCRIPTOR = f"""description=analyzers
version={VERSION}
name=analysis-common
classname=org.opensearch.analysis.common.CommonAnalysisPlugin
java.version=11
opensearch.version={VERSION}
has.native.controller=false
"""
NOBODY = 65534

PASSWORD = "agent-Passw0rd-1"
"""Of everybody here."""
_HASH = "$2y$12$ODx.rsUwYbOf2cRBcs3NnOROcttDAqyad3iEsvT1A2YDIszaBweC2"
USERS = {"operator": "all_access", "agent": "s3batch_agent", "keeper": "s3batch_keeper", "reader": "s3batch_reader"}
"""Each user's role."""
ROLES = json.loads((Path(__file__).parents[2] / "deploy" / "search" / "roles.json").read_text("utf-8"))
"""What an agent needs at least, where somebody else makes the templates; who rebuilds and mends; and who only finds. As
shipped."""


def _get(cache: Path) -> Path:
    java(17)
    return kept(cache, f"opensearch-secure-{VERSION}", _install) / f"opensearch-{VERSION}"


def _install(into: Path) -> None:
    (into / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>tests</groupId><artifactId>node</artifactId><version>1</version></project>"
    )
    for artifact in (DISTRIBUTION, SECURITY, ANALYSIS):
        run(
            [
                *("mvn", "-B", "-q", "-f", str(into / "pom.xml")),
                *("dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={into}"),
            ]
        )
    home = into / f"opensearch-{VERSION}"
    _unpack(into / f"opensearch-{VERSION}.zip", into)
    _unpack(into / f"opensearch-security-{VERSION}.0.zip", home / "plugins" / "opensearch-security")
    module = home / "modules" / "analysis-common"
    module.mkdir()
    (into / f"analysis-common-{VERSION}.jar").rename(module / f"analysis-common-{VERSION}.jar")
    (module / "plugin-descriptor.properties").write_text(DESCRIPTOR)


def _unpack(packed: Path, into: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(into)
    packed.unlink()


PART = Part(name="opensearch_secure", role="opensearch", version=f"{VERSION}-with-security", get=_get)


@dataclass(frozen=True, slots=True)
class SecureNode:
    """A running node."""

    port: int
    shown: Certificate

    def endpoint(self, user: str, password: str = PASSWORD) -> str:
        """Return where it answers `user`."""
        return f"https://{user}:{quote(password)}@127.0.0.1:{self.port}"

    def cluster(self, user: str) -> OpenSearchCluster:
        """Return a client of ours; the caller closes it."""
        return OpenSearchCluster(Reach(urls=(self.endpoint(user),), ca=self.shown.file))


@contextmanager
def running(program: Path) -> Iterator[SecureNode]:
    """Run a node as long as the block. Raises `RuntimeError`."""
    folder = Path(tempfile.mkdtemp(prefix="s3batch-opensearch-"))
    try:
        home = folder / "home"
        shutil.copytree(program, home)
        shown = certificate(folder / "trusted")
        port = free_port()
        _configure(home, shown, port)
        with (folder / "log").open("wb") as log:
            process = _start(home, folder, log.fileno())
        try:
            node = SecureNode(port, shown)
            _wait(node, process, folder / "log")
            yield node
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(folder)


def _configure(home: Path, shown: Certificate, port: int) -> None:
    config, security = home / "config", home / "config" / "opensearch-security"
    shutil.copytree(home / "plugins" / "opensearch-security" / "config", security, dirs_exist_ok=True)
    users = {name: {"hash": _HASH, "backend_roles": []} for name in USERS}
    mapping = {role: {"users": [name]} for name, role in USERS.items()}
    for name, kind, said in (
        ("internal_users", "internalusers", users),
        ("roles", "roles", ROLES),
        ("roles_mapping", "rolesmapping", mapping),
    ):
        said_all = {"_meta": {"type": kind, "config_version": 2}, **said}
        (security / f"{name}.yml").write_text(json.dumps(said_all))  # JSON is YAML too
    shutil.copy(shown.file, config / "cert.pem")
    shutil.copy(shown.key, config / "key.pem")
    settings: dict[str, object] = {
        "network.host": "127.0.0.1",
        "http.port": port,
        "transport.port": 0,
        "discovery.type": "single-node",
        "plugins.security.ssl.transport.enforce_hostname_verification": False,
        "plugins.security.ssl.http.enabled": True,
        "plugins.security.allow_default_init_securityindex": True,
        "plugins.security.audit.type": "noop",
    }
    for where in ("transport", "http"):
        files = {"pemcert": "cert.pem", "pemkey": "key.pem", "pemtrustedcas": "cert.pem"}
        settings |= {f"plugins.security.ssl.{where}.{kind}_filepath": file for kind, file in files.items()}
    (config / "opensearch.yml").write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items()))


def _start(home: Path, folder: Path, log: int) -> subprocess.Popen[bytes]:
    program = home / "bin" / "opensearch"
    for each in (home / "bin").iterdir():
        each.chmod(0o755)
    nobody = os.geteuid() == 0
    if nobody:
        folder.chmod(0o755)
        subprocess.run(["chown", "-R", str(NOBODY), str(home)], check=True)
    return subprocess.Popen(
        [*dying_with_us(), str(program)],
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "OPENSEARCH_JAVA_HOME": str(java(17).resolve().parent.parent),
            "OPENSEARCH_JAVA_OPTS": f"-Xms{HEAP} -Xmx{HEAP}",
        },
        user=NOBODY if nobody else None,
        group=NOBODY if nobody else None,
        extra_groups=[] if nobody else None,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )


def _wait(node: SecureNode, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    cluster = node.cluster("operator")
    try:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                cluster.server()
            except Transient:
                time.sleep(0.5)
            else:
                return
    finally:
        cluster.close()
    raise RuntimeError(f"OpenSearch with security does not start: {log.read_text(errors='replace').strip()[-800:]}")


@pytest.fixture(scope="session")
def opensearch_secure(live_parts: LiveParts) -> Iterator[SecureNode]:
    """An OpenSearch with users and TLS, for all tests that ask for it in this process."""
    with running(live_parts.path("opensearch_secure")) as node:
        yield node

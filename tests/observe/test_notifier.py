"""Messages reach people by every channel, and no channel reaches the work."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from s3batch.operate.told import DONE, ROUTES
from s3batch.pack.events import ArchiveReleased
from s3sync.errors import Failure, Transient, Usage
from s3sync.events import Event, StepFailed
from s3sync.observe.channels import Channel, Webhook, channel_to
from s3sync.observe.notifier import STEADY, Notifier
from s3sync.observe.troubles import RUN, Kind, Ledger, Message
from s3sync.statedb import StateDb
from s3sync.store.aws import publish
from tests.doubles.http_server import Asked, Reply, answering
from tests.doubles.moto_server import MotoServer

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
FAILED = StepFailed(step="store", subject="x", bucket="b", wrong="w", hint="", permanent=True)
DONE_WELL = ArchiveReleased(batch="1", bucket="b", key="k", size=9, members=3, content_bytes=6, released=2, vanished=1, kept=0)
MESSAGE = Message(Kind.FAILURE, "s3batch on drop1: é", "text\nmore", "b", "cause")


class Ear(Channel):
    """A channel that hears, unless it is deaf."""

    def __init__(self, name: str = "ear") -> None:
        self.name = name
        self.deaf = False
        self.heard: list[Message] = []
        self.asked = 0

    def send(self, message: Message) -> None:
        self.asked += 1
        if self.deaf:
            raise Transient(self.name, "is deaf")
        self.heard.append(message)


class World:
    """A clock, a memory, and what our own log is told."""

    def __init__(self, path: Path) -> None:
        self.now = NOON
        self.path = path
        self.told: list[Event] = []
        self.open: list[StateDb] = []

    def notifier(self, *ears: Channel) -> Notifier:
        """Return what a process that starts now would have."""
        db = StateDb.open(self.path / "watch.db")
        self.open.append(db)
        return Notifier(
            Ledger(ROUTES, DONE, host="drop1", program="s3batch"),
            ears,
            db,
            digest_at=timedelta(hours=7),
            now=lambda: self.now,
            listener=self.told.append,
            wanted=lambda event: event.name in DONE,
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Where nothing has happened yet."""
    made = World(tmp_path)
    yield made
    for db in made.open:
        db.close()


def test_a_restart_loop_tells_once(world: World) -> None:
    """An agent that fails at every start is one message; one that stays at work for a while has recovered."""
    ear = Ear()
    for _ in range(50):
        world.notifier(ear).ended("the drop zone cannot be opened", 30)
        world.now += timedelta(seconds=10)
    assert [(Kind.FAILURE, RUN)] == [(message.kind, message.cause) for message in ear.heard]
    steady = world.notifier(ear)
    steady.start()
    world.now += STEADY
    steady.pump()
    steady.ended("", 30)

    assert [Kind.FAILURE, Kind.RECOVERY] == [message.kind for message in ear.heard]


def test_a_deaf_channel_keeps_nobody_waiting(world: World) -> None:
    """The others hear at once; it is told once in our own log, asked more and more rarely, and hears when it can."""
    deaf, ear = Ear("deaf"), Ear()
    deaf.deaf = True
    notifier = world.notifier(deaf, ear)
    notifier(FAILED)
    for _ in range(600):
        notifier.pump()
        world.now += timedelta(seconds=5)
    assert 1 == len(ear.heard)
    assert ["notice_failed"] == [event.name for event in world.told]
    assert deaf.asked < 10
    deaf.deaf = False
    world.now += timedelta(hours=1)
    world.notifier(deaf, ear).pump()  # the message outlived the process that wrote it

    assert (1, 1) == (len(deaf.heard), len(ear.heard))


def test_what_nobody_takes_is_given_up_after_a_day(world: World) -> None:
    """Old news is no news."""
    deaf = Ear()
    deaf.deaf = True
    notifier = world.notifier(deaf)
    notifier(FAILED)
    notifier.pump()
    world.now += timedelta(hours=25)
    deaf.deaf = False
    notifier.pump()

    assert Kind.FAILURE not in {message.kind for message in deaf.heard}


def test_events_become_messages(world: World) -> None:
    """A failure, its end, and the digest of the day with what was done."""
    ear = Ear()
    notifier = world.notifier(ear)
    for event in (FAILED, DONE_WELL):
        notifier(event)
        notifier.pump()
    world.now += timedelta(days=1)
    notifier.pump()

    assert [Kind.FAILURE, Kind.RECOVERY, Kind.DIGEST] == [message.kind for message in ear.heard]
    assert "1 archives of bucket b" in ear.heard[-1].text


def test_telling_never_waits(world: World) -> None:
    """Ten thousand events while a channel takes its time cost the work nothing."""

    class Slow(Ear):
        def send(self, message: Message) -> None:
            time.sleep(3)

    notifier = world.notifier(Slow())
    notifier(FAILED)
    notifier.start()
    began = time.monotonic()
    for _ in range(20_000):
        notifier(FAILED)
    took = time.monotonic() - began
    began = time.monotonic()
    notifier.ended("", 0.5)

    assert took < 2
    assert time.monotonic() - began < 3


def test_a_memory_that_makes_no_sense_is_begun_anew(world: World) -> None:
    """What another version wrote is told of, and stops nobody."""
    ear = Ear()
    world.notifier(ear).pump()
    with world.open[0].write() as db:
        db.execute("""INSERT OR REPLACE INTO ledger VALUES (1, '{"troubles": 3}')""")
    notifier = world.notifier(ear)
    notifier(FAILED)
    notifier.pump()

    assert ["notice_failed"] == [event.name for event in world.told]
    assert 1 == len(ear.heard)


def test_a_topic_gets_the_message(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """SNS takes subject and text, whatever is in them, in the region the ARN names."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.endpoint)
    sns, sqs = (boto3.client(name, region_name="eu-west-1", endpoint_url=moto.endpoint) for name in ("sns", "sqs"))
    topic = sns.create_topic(Name="told")["TopicArn"]
    queue = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    channel_to(topic, publish).send(MESSAGE)
    (received,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    body = json.loads(received["Body"])

    assert ("s3batch on drop1: ?", "text\nmore") == (body["Subject"], body["Message"])
    with pytest.raises(Failure, match="nowhere"):
        channel_to(f"{topic}-nowhere", publish).send(MESSAGE)
    sns.close()
    sqs.close()


def test_a_webhook_gets_json() -> None:
    """Posted as it is; whoever answers with an error or sends us elsewhere did not take it, and no secret is shown."""
    seen: list[Asked] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked)
        if asked.path == "/elsewhere":
            return Reply(status=302, headers={"Location": "/hook"})
        return Reply(status=200 if asked.path == "/hook" else 500)

    with answering(answer) as server:
        base = server.endpoint.replace("//", "//user:secret@")
        channel_to(f"{server.endpoint}/hook", publish).send(MESSAGE)
        for path in ("broken", "elsewhere"):
            with pytest.raises(Transient) as refused:
                Webhook(f"{base}/{path}").send(MESSAGE)
            assert "secret" not in str(refused.value)

    assert [None, "Basic dXNlcjpzZWNyZXQ="] == [asked.headers.get("Authorization") for asked in seen[:2]]
    assert ["/hook", "/broken", "/elsewhere"] == [asked.path for asked in seen]
    assert {"kind": "failure", "bucket": "b", "text": "text\nmore"}.items() <= json.loads(seen[0].body).items()


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_apprise_brings_mail() -> None:
    """A mail server gets the message, with its subject."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        server.settimeout(30)
        taken = pool.submit(_take_mail, server)
        place = f"127.0.0.1:{server.getsockname()[1]}"
        address = f"mailto://{place}/?smtp=127.0.0.1&from=agent@example.org&to=people@example.org&mode=insecure"
        channel_to(address, publish).send(Message(Kind.FAILURE, "s3batch on drop1: step_failed store (b)", "text"))
        mail = taken.result(30)

    assert "Subject: s3batch on drop1: step_failed store (b)" in mail
    assert "people@example.org" in mail


def _take_mail(server: socket.socket) -> str:
    """Speak as little SMTP as it takes, and return what was said in it."""
    connection, _ = server.accept()
    said: list[str] = []
    with connection, connection.makefile("rw", newline="\r\n") as talk:
        answer = "220 here"
        while True:
            talk.write(f"{answer}\n")
            talk.flush()
            line = talk.readline().strip()
            if line.upper() == "DATA":
                talk.write("354 go on\n")
                talk.flush()
                while (line := talk.readline().rstrip("\r\n")) != ".":
                    said.append(line)
            if not line or line.upper() == "QUIT":
                return "\n".join(said)
            answer = "250 yes"


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_apprise_gets_the_rest() -> None:
    """Mail is an address of apprise; what it does not know is refused, without showing what may be a secret."""
    mail = channel_to("mailto://user:secret@example.invalid", publish)
    with pytest.raises(Usage) as refused:
        channel_to("nonsense://user:secret@nowhere", publish)

    assert "mailto (apprise)" == mail.name
    assert "secret" not in str(refused.value)

"""What the servers' transfer logs say of broken-off uploads, read as it comes and kept in the journal.

How far each log was read and what was learnt from it are written in one transaction, so a restart neither misses a line nor
takes one twice, and evidence outlives the log it stood in. A log that cannot be read is told of once and is no reason to stop:
without evidence a file is judged by the other rules alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime, tzinfo
from pathlib import Path
from sqlite3 import Connection

from s3batch.pack.accepted import AcceptedFiles
from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.evidence import MAX_LINE_BYTES, LineReader, Server
from s3sync.dropzone.facts import FileFacts
from s3sync.dropzone.logfile import LogFile, Place
from s3sync.dropzone.partial import Broken, BrokenUploads, Key
from s3sync.events import Degraded, Listener
from s3sync.statedb import StateDb

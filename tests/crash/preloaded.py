"""Importing this reads what every client of S3 reads of botocore's files, once for all processes forked from the importer.

That is more than half of the time of a short run, and says nothing about crashes.
"""

from __future__ import annotations

import gc

import boto3
import botocore.session
from botocore.loaders import Loader

import s3batch.app
import s3batch.commands.find
import s3batch.commands.rebuild
import s3batch.commands.requests
import s3batch.commands.restore
import s3batch.commands.run
import s3sync.app
import s3sync.commands.run
from tests.crash import driver

IMPORTED = (s3batch.app, s3batch.commands, s3sync.app, s3sync.commands, driver)
"""What a child finds ready."""

_LOADER = Loader()
vars(botocore.session)["create_loader"] = lambda _paths: _LOADER
boto3.session.Session().client("s3", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
gc.freeze()

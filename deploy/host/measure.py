"""Tell CloudWatch how long the oldest finished file has waited: the alarm NothingArchived of deploy/host.yaml.

Run by s3batch-measure.service with the stack's name. Says nothing where `status` cannot be had or has not looked into the drop
zone: that data is missing raises the alarm too. By the program's own Python, because that has boto3 on every system.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import boto3


def main(stack: str) -> None:
    """Ask, and tell. Raises where either does not go."""
    program = Path(sys.executable).with_name("s3batch")
    said = subprocess.run([program, "status", "--json"], check=True, stdout=subprocess.PIPE).stdout
    seconds = json.loads(said.splitlines()[0])["oldest_eligible_seconds"]
    if seconds is None:
        raise SystemExit("the drop zone was not looked at")
    boto3.client("cloudwatch").put_metric_data(
        Namespace="s3batch",
        MetricData=[
            {
                "MetricName": "OldestEligibleSeconds",
                "Dimensions": [{"Name": "Stack", "Value": stack}],
                "Unit": "Seconds",
                "Value": seconds,
            }
        ],
    )


if __name__ == "__main__":
    main(sys.argv[1])

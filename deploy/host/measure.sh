#!/bin/sh
# Tell CloudWatch how long the oldest finished file has waited: the alarm NothingArchived of deploy/host.yaml.
#
# Says nothing where `status` cannot be had or has not looked: missing data raises the alarm too.
set -eu
stack=$1
seconds=$(/opt/s3batch/bin/s3batch status --json | /opt/s3batch/bin/python -c '
import json, sys
seconds = json.loads(sys.stdin.readline())["oldest_eligible_seconds"]
sys.exit("the drop zone was not looked at") if seconds is None else print(seconds)')
exec aws cloudwatch put-metric-data --namespace s3batch --metric-name OldestEligibleSeconds \
    --dimensions "Stack=$stack" --unit Seconds --value "$seconds"

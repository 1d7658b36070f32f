#!/bin/sh
# Run a command of s3batch as its agent is run: the same user, groups, capabilities, settings and secrets, which nobody else can read.
# For root, at a terminal or in a script; paths from the root, for it runs in /:  s3batch-as-agent doctor
#
# What s3batch.service says of them stands here again (a test compares); its sandbox does not, so that files can be delivered.
# What a drop-in of yours changes there is not seen here: put settings into s3batch.env or s3batch.toml.
set -eu

case ${1:-} in
    '' | -h | --help) sed -n '2,/^$/{s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
unit=s3batch-typed-$$
exec systemd-run --quiet --collect --wait --pty --pipe --unit=$unit \
    --property=User=s3batch \
    --property=Group=s3batch \
    --property=SupplementaryGroups=drop \
    --property=UMask=0077 \
    --property=Environment='S3BATCH_FOLDER=/srv/drop S3BATCH_STATE=/var/lib/s3batch S3BATCH_SPOOL=/var/cache/s3batch/spool' \
    --property=EnvironmentFile=-/etc/s3batch/s3batch.env \
    --property=LoadCredential=aws:/etc/s3batch/credentials/aws \
    --property=SetCredential='aws:\n' \
    --property=LoadCredential=opensearch_url:/etc/s3batch/credentials/opensearch_url \
    --property=SetCredential='opensearch_url:\n' \
    --property=Environment=AWS_SHARED_CREDENTIALS_FILE=/run/credentials/$unit.service/aws \
    --property=AmbientCapabilities='CAP_LEASE CAP_DAC_READ_SEARCH' \
    --property=CapabilityBoundingSet='CAP_LEASE CAP_DAC_READ_SEARCH' \
    --property=NoNewPrivileges=yes \
    /opt/s3batch/bin/s3batch "$@"

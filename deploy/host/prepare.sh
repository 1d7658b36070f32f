#!/bin/bash
# Make a fresh machine of the host stack into a drop host: volumes, address, program, servers, settings, CloudWatch.
#
# Called by the user data of deploy/host.yaml, which says in the environment what is where; ends with 0 when the agent is ready.
# May be run again. A volume that has a filesystem is never made anew: it holds what an earlier machine left.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

ATTACH_SECONDS=300
DROP=/srv/drop
WORK=/srv/s3batch
STATE=/var/lib/s3batch
ENV_FILE=/etc/s3batch/s3batch.env
OURS=/usr/local/lib/s3batch
UNITS=/etc/systemd/system

say() { printf '%s prepare: %s\n' "$(date -u +%FT%TZ)" "$*"; }

packs() { [[ ",$DUTIES," == *,pack,* ]]; }
has_dnf() { command -v dnf >/dev/null; }

# Attach a volume as the device name $2 and print the device it became. The machine before may still have it: wait.
attached() {
    local volume=$1 name=$2 device="/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${1/-/}" waited=0
    until [ -e "$device" ]; do
        aws ec2 attach-volume --volume-id "$volume" --instance-id "$INSTANCE" --device "$name" >/dev/null 2>&1 || true
        [ "$waited" -lt "$ATTACH_SECONDS" ] || { say "$volume could not be attached within $ATTACH_SECONDS s" >&2; return 1; }
        sleep 5
        waited=$((waited + 5))
    done
    readlink -f "$device"
}

# Mount a volume for good, with a filesystem where it is blank. `blkid -p` says 2 of a blank device, and of nothing else.
mounted() {
    local device=$1 folder=$2 options=$3 uuid code=0
    blkid -p "$device" >/dev/null || code=$?
    case $code in
        0) say "$device has a filesystem: kept" ;;
        2) say "$device is blank"; mkfs.xfs -q "$device" ;;
        *) say "$device: blkid says $code, nothing is done to it" >&2; return 1 ;;
    esac
    uuid=$(blkid -s UUID -o value "$device")
    mkdir -p "$folder"
    in_fstab "UUID=$uuid $folder xfs $options 0 2"
    mountpoint -q "$folder" || mount "$folder"
    xfs_growfs "$folder" >/dev/null # after the volume was enlarged
}

in_fstab() { grep -qxF "$1" /etc/fstab || printf '%s\n' "$1" >>/etc/fstab; }

packages() {
    local servers=''
    ! packs || servers='rsyslog vsftpd quota'
    # shellcheck disable=SC2086  # lists of names
    if has_dnf; then
        dnf install -q -y xfsprogs amazon-cloudwatch-agent python3.11 openssl $servers
    else
        local deb=/root/amazon-cloudwatch-agent.deb
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y xfsprogs curl openssl python3-venv $servers
        curl -sf -o $deb "https://amazoncloudwatch-agent.s3.amazonaws.com/ubuntu/$(dpkg --print-architecture)/latest/amazon-cloudwatch-agent.deb"
        dpkg -i -E $deb
    fi
}

# What the stack says goes in front; what somebody added below the line stays.
settings() {
    local mark="# --- below this line is yours; above, the stack writes" kept=
    mkdir -p /etc/s3batch/credentials
    chmod 0700 /etc/s3batch/credentials
    [ ! -e $ENV_FILE ] || kept=$(sed "1,/^$mark/d" $ENV_FILE)
    {
        printf '%s\n' "S3BATCH_FOLDER=$DROP" "S3BATCH_STATE=$STATE" "S3BATCH_SPOOL=$STATE/spool" \
            "S3BATCH_DUTIES=$DUTIES" "S3BATCH_BUCKETS=$BUCKETS" "S3BATCH_SPOOL_LIMIT=$SPOOL_LIMIT" \
            "S3BATCH_MANIFEST_BUCKET=$MANIFEST_BUCKET" "S3BATCH_OPENSEARCH_URL=$OPENSEARCH_URL" \
            "S3BATCH_TRANSFER_LOGS=$(packs && echo /var/log/s3batch-sftp.log,/var/log/vsftpd.log)" \
            "AWS_DEFAULT_REGION=$AWS_DEFAULT_REGION" "$mark"
        [ -z "$kept" ] || printf '%s\n' "$kept"
    } >$ENV_FILE.new
    chmod 0640 $ENV_FILE.new
    mv $ENV_FILE.new $ENV_FILE
}

# The samples, where this system looks for them: the machine is this stack's, so what a package left there gives way.
drop_servers() {
    local samples="$here/../drop-servers" vsftpd=/etc/vsftpd.conf
    ! has_dnf || vsftpd=/etc/vsftpd/vsftpd.conf
    mkdir -p /etc/ssh/sshd_config.d /etc/rsyslog.d "$(dirname $vsftpd)" $UNITS/vsftpd.service.d /etc/ssl/private /etc/ssl/certs
    mkdir -p /etc/ssh/drop-keys # there, so that its changes are seen
    install -m 0644 "$samples/sshd-drop.conf" /etc/ssh/sshd_config.d/s3batch-drop.conf
    # Administration goes by SSM: sshd lets in who uploads, and nobody else.
    printf '%s\n' "# A drop host of the host stack: a shell is opened by SSM." "AllowGroups drop" >/etc/ssh/sshd_config.d/s3batch-only.conf
    install -m 0644 "$samples/rsyslog-sftp.conf" /etc/rsyslog.d/s3batch-sftp.conf
    install -D -m 0644 "$samples/logrotate-sftp" /etc/logrotate.d/s3batch-sftp
    install -m 0644 "$samples/pam-vsftpd" /etc/pam.d/vsftpd
    install -m 0644 "$samples/vsftpd-openssl.cnf" /etc/ssl/vsftpd-openssl.cnf
    # The address that clients are told to send data to is the one they came to, not the machine's own.
    { cat "$samples/vsftpd.conf"; printf 'pasv_address=%s\n' "$PUBLIC_ADDRESS"; } >$vsftpd
    install -m 0644 "$samples/vsftpd-unit.conf" $UNITS/vsftpd.service.d/s3batch.conf
    [ -e /etc/ssl/private/ssl-cert-snakeoil.key ] ||
        openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=$PUBLIC_ADDRESS" \
            -keyout /etc/ssl/private/ssl-cert-snakeoil.key -out /etc/ssl/certs/ssl-cert-snakeoil.pem 2>/dev/null
}

bucket_folders() {
    local bucket
    for bucket in ${BUCKETS//,/ }; do
        install -d -m 2775 -g drop "$DROP/$bucket"
    done
}

cloudwatch() {
    local config=/opt/aws/amazon-cloudwatch-agent/etc/s3batch.json
    mkdir -p "$(dirname $config)"
    sed -e "s|@STACK@|$STACK|g" -e "s|@LOG_GROUP@|$LOG_GROUP|g" "$here/cloudwatch-agent.json" >$config
    /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s -c "file:$config"
}

own_units() {
    mkdir -p $OURS
    install -m 0755 "$here/measure.py" "$here/keep.sh" $OURS/
    sed "s|@STACK@|$STACK|g" "$here/s3batch-measure.service" >$UNITS/s3batch-measure.service
    install -m 0644 "$here/s3batch-measure.timer" "$here/s3batch-keep.service" "$here/s3batch-keep.path" $UNITS/
}

say "machine $INSTANCE of $STACK"
aws ec2 associate-address --allocation-id "$ADDRESS" --instance-id "$INSTANCE" --allow-reassociation >/dev/null
packages
drop=$(attached "$DROP_VOLUME" /dev/sdf)
work=$(attached "$WORK_VOLUME" /dev/sdg)
# uquota: deploy/drop-servers/customer.sh sets limits. Nothing that is dropped runs, is a device, or gives rights.
mounted "$drop" $DROP defaults,nofail,uquota,nodev,nosuid,noexec,noatime
mounted "$work" $WORK defaults,nofail,nodev,nosuid,noexec,noatime
mkdir -p $WORK/state $STATE
in_fstab "$WORK/state $STATE none bind,nofail 0 0"
mountpoint -q $STATE || mount $STATE
"$here/keep.sh" restore $WORK/host
settings
! packs || drop_servers
# shellcheck disable=SC2046  # a word or none
"$here/../install.sh" --yes --package "$here/../.." $(packs && echo --drop-servers)
chgrp s3batch $ENV_FILE
! packs || bucket_folders
cloudwatch
own_units
systemctl daemon-reload
if packs; then
    systemctl restart rsyslog
    systemctl reload-or-restart sshd || systemctl reload-or-restart ssh
    systemctl enable vsftpd
    systemctl restart vsftpd
fi
systemctl enable --now s3batch-measure.timer s3batch-keep.path
systemctl start s3batch-keep.service
systemctl enable s3batch.service
systemctl restart s3batch.service # a unit of Type=notify: comes back when the agent says READY
say "ready"

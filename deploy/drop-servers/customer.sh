#!/bin/sh
# Give a customer an account that can do nothing but upload, a jail, and a bucket's folder in it; or take the account away.
#
#   customer.sh add NAME --bucket BUCKET [--folder PATH] [--key FILE] [--quota SIZE] [--files N] [--dry-run]
#   customer.sh remove NAME [--dry-run]
#
# What the customer sees as /BUCKET is the bucket's folder in the drop zone, or the folder PATH in it. May be run again; what is
# there already stays. `remove` takes account, jail and mounts away and leaves every file. Where things are: DROP (/srv/drop),
# JAIL (/srv/jail), KEYS (/etc/ssh/drop-keys), the samples' own.
#
# --quota (in KiB, or with K, M, G, T) and --files limit what the customer may have lying in the drop zone at one time; the
# drop zone's filesystem has to be mounted with usrquota. A file counts until it is archived and removed.
set -eu

DROP=${DROP:-/srv/drop}
JAIL=${JAIL:-/srv/jail}
KEYS=${KEYS:-/etc/ssh/drop-keys}
GROUP=drop
MOUNTED=nodev,nosuid,noexec

die() { printf 'customer.sh: %s\n' "$*" >&2; exit 2; }
usage() { sed -n '2,/^set -eu/{s/^# \{0,1\}//p}' "$0"; exit "$1"; }

# Do something, or only say it.
run() {
    if [ "$dry" = yes ]; then printf '%s\n' "$*"; else "$@"; fi
}

# Put a line into a file once.
line() {
    grep -qxF "$1" "$2" 2>/dev/null && return
    if [ "$dry" = yes ]; then printf 'into %s: %s\n' "$2" "$1"; else printf '%s\n' "$1" >>"$2"; fi
}

add() {
    [ -n "$bucket" ] || die "--bucket is missing"
    case $bucket in *[!a-z0-9.-]* | .* | -*) die "$bucket is no bucket's name" ;; esac
    case /$folder/ in */../* | *//?* | */./* | *[[:space:]]*) die "--folder $folder: a path in the bucket, without .. and blanks" ;; esac
    [ -d "$DROP" ] || die "$DROP is not there"
    place=$DROP/$bucket${folder:+/$folder}
    getent group $GROUP >/dev/null || run groupadd --system $GROUP
    id "$name" >/dev/null 2>&1 ||
        run useradd --no-create-home --home-dir / --shell /usr/sbin/nologin --groups $GROUP "$name"
    # The jail is root's alone all the way up: sshd insists on it.
    run install -d -m 0755 "$JAIL" "$JAIL/$name" "$JAIL/$name/dev" "$JAIL/$name/$bucket"
    # setgid, and writable for the group the agent is in: what is dropped can be removed. Each folder on the way down, so that
    # none is left that only its maker may change.
    deeper=$DROP/$bucket
    run install -d -m 2775 -g $GROUP "$deeper"
    for part in $(printf '%s' "$folder" | tr / ' '); do
        deeper=$deeper/$part
        run install -d -m 2775 -g $GROUP "$deeper"
    done
    # nofail: a drop zone whose disk does not come must not keep the host from starting.
    line "$place $JAIL/$name/$bucket none bind,$MOUNTED,nofail 0 0" /etc/fstab
    mountpoint -q "$JAIL/$name/$bucket" 2>/dev/null || run mount --bind -o $MOUNTED "$place" "$JAIL/$name/$bucket"
    if [ -n "$key" ]; then
        [ -r "$key" ] || die "$key cannot be read"
        run install -d -m 0755 "$KEYS"
        run install -m 0644 "$key" "$KEYS/$name"
    fi
    # What internal-sftp says from within the jail, into the log the agent reads. The name sorts behind the rules it uses.
    line "input(type=\"imuxsock\" Socket=\"$JAIL/$name/dev/log\" CreatePath=\"on\" RateLimit.Interval=\"0\" Ruleset=\"s3batch-sftp\")" \
        "/etc/rsyslog.d/s3batch-sftp.user-$name.conf"
    if [ -n "$quota$files" ]; then
        command -v setquota >/dev/null || [ "$dry" = yes ] || die "setquota is missing: install the package quota"
        run setquota -u "$name" 0 "${quota:-0}" 0 "${files:-0}" "$DROP"
    fi
    echo "$name uploads into /$bucket, which is $place. Now restart rsyslog, for its socket."
    [ -n "$key" ] || echo "Neither key nor password yet: --key FILE, or passwd $name for FTPS."
}

remove() {
    id "$name" >/dev/null 2>&1 || die "there is no account $name"
    id -nG "$name" | tr ' ' '\n' | grep -qx $GROUP || die "$name is not in the group $GROUP: not one of ours"
    for mounted in "$JAIL/$name"/*; do
        if mountpoint -q "$mounted"; then run umount "$mounted"; fi
    done
    run sed -i "\|^[^ ]* $JAIL/$name/|d" /etc/fstab
    run rm -f "/etc/rsyslog.d/s3batch-sftp.user-$name.conf" "$KEYS/$name"
    run userdel "$name"
    # What is mounted does not come off, or is empty: folders only, each of them empty, and the socket.
    run rm -f "$JAIL/$name/dev/log"
    run find "$JAIL/$name" -xdev -depth -type d -empty -delete
    echo "$name is gone; every file is where it was, and is archived as ever."
}

dry=no bucket='' folder='' key='' quota='' files=''
[ $# -gt 0 ] || usage 2
case $1 in -h | --help) usage 0 ;; add | remove) doing=$1 ;; *) usage 2 ;; esac
shift
name=${1:-}
case $name in '' | *[!a-z0-9_-]* | -*) die "a name of small letters, digits, - and _ is needed, not '$name'" ;; esac
shift
while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry=yes; shift; continue ;;
        --bucket | --folder | --key | --quota | --files) [ $# -gt 1 ] || die "$1 needs a value" ;;
        *) die "$1 is not understood" ;;
    esac
    case $1 in
        --bucket) bucket=$2 ;;
        --folder) folder=${2%/} ;;
        --key) key=$2 ;;
        --quota) quota=$2 ;;
        --files) files=$2 ;;
    esac
    shift 2
done
[ "$dry" = yes ] || [ "$(id -u)" -eq 0 ] || die "only root may do this; --dry-run shows it"
"$doing"

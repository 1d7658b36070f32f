#!/bin/bash
# Keep what makes a machine this drop host and no other, so that the one that replaces it is the same to customers.
#
#   keep.sh save FOLDER      settings and secrets, host keys, keys and accounts of customers, their mounts and log sockets
#   keep.sh restore FOLDER   put them back on a new machine; accounts with the numbers their files belong to
#
# FOLDER is root's alone: password hashes lie in it. Saved by s3batch-keep.service whenever one of them changes.
set -euo pipefail
doing=$1 folder=$2
GROUP=drop
JAIL=/srv/jail

# Members of the group but the agent, whose account install.sh makes.
customers() { getent group $GROUP | cut -d: -f4 | tr ',' '\n' | grep -vx -e s3batch -e '' || true; }

save() {
    local name
    install -d -m 0700 "$folder"
    umask 077
    (cd / && find etc/s3batch etc/ssh/drop-keys etc/ssh/ssh_host_* etc/rsyslog.d/s3batch-sftp.user-*.conf \
        etc/ssl/private/ssl-cert-snakeoil.key etc/ssl/certs/ssl-cert-snakeoil.pem ! -type d -print0 2>/dev/null || true) |
        tar -C / --null --files-from=- -czf "$folder/files.tar.gz.new"
    for name in $(customers); do
        printf '%s %s %s\n' "$name" "$(id -u "$name")" "$(getent shadow "$name" | cut -d: -f2)"
    done >"$folder/accounts.new"
    grep " $JAIL/" /etc/fstab >"$folder/fstab.new" || true
    sync -f "$folder"
    for name in files.tar.gz accounts fstab; do mv "$folder/$name.new" "$folder/$name"; done
}

restore() {
    local name number secret source place
    [ -e "$folder/fstab" ] || { echo "nothing was saved in $folder: a first machine"; return 0; }
    tar -C / -xzpf "$folder/files.tar.gz"
    getent group $GROUP >/dev/null || groupadd --system $GROUP
    while read -r name number secret; do
        getent passwd "$name" >/dev/null ||
            useradd --uid "$number" --no-create-home --home-dir / --shell /usr/sbin/nologin --groups $GROUP "$name"
        usermod --password "$secret" "$name"
        install -d -m 0755 $JAIL "$JAIL/$name" "$JAIL/$name/dev"
    done <"$folder/accounts"
    while read -r source place rest; do
        install -d -m 0755 "$place"
        grep -qxF "$source $place $rest" /etc/fstab || printf '%s\n' "$source $place $rest" >>/etc/fstab
        mountpoint -q "$place" || mount "$place"
    done <"$folder/fstab"
}

"$doing"

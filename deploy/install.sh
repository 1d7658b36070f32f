#!/bin/sh
# Install s3batch on this host, bring it up to date, or take it away again. `install.sh --help` says how; docs/install.md says more.
#
# Every step looks first and does only what is missing, so running it again is harmless, and goes on where it was broken off.
# Nothing that holds files or settings is ever replaced. Each version of the program has an environment of its own below
# /opt/s3batch.d; /opt/s3batch is a link to one of them, which makes an update, and the way back, one rename.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
OPT=/opt/s3batch
RELEASES=/opt/s3batch.d
ETC=/etc/s3batch
DROP=/srv/drop
SYNC=/srv/sync
QUARANTINE=$DROP/.s3batch-quarantine
UNITS=/etc/systemd/system
SHARE=/usr/local/share
BIN=/usr/local/bin
SBIN=/usr/local/sbin
VSFTPD=/etc/vsftpd.conf
[ ! -d /etc/vsftpd ] || VSFTPD=/etc/vsftpd/vsftpd.conf
AGENTS="s3batch.service s3sync.service s3batch-once.timer s3sync-once.timer s3batch-verify.timer"

package='' extras='' buckets='' mode=install
dry='' yes='' servers='' within_dpkg='' changed=''
[ "$HERE" != /usr/lib/s3batch ] || within_dpkg=yes # where the Debian package has this script, whoever runs it

usage() {
    cat <<'EOF'
usage: install.sh [--package WHAT] [--bucket NAME]... [--drop-servers] [--dry-run]
       install.sh --rollback | --uninstall | --purge  [--yes] [--dry-run]

Installs s3batch and s3sync for systemd on Debian 12, Ubuntu 24.04, Amazon Linux 2023 and what is like them. Run as root.

  --package WHAT   what to install: an unpacked bundle or its .tar.gz, a wheel, a folder with the sources, or what pip
                   understands, such as s3batch==0.1.0 (default: what this script came with)
  --extras LIST    extras of the package, comma separated
  --bucket NAME    also make the drop folder of a bucket; may be repeated
  --drop-servers   also install the sample configurations of sshd, vsftpd, PAM, rsyslog and logrotate, where there is none
  --rollback       go back to the version that was there before the last update
  --uninstall      stop the agents and remove the program; files, state and settings stay, and it says where
  --purge          the same, and remove state, settings and accounts; dropped files stay even then. Asks first
  --yes            do not ask
  --dry-run        only say what would be done

Exit codes: 0 done, also where there was nothing to do; 1 failed; 2 usage.
EOF
}

say() { printf '%s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
misuse() { printf 'install.sh: %s\n' "$*" >&2; usage >&2; exit 2; }

# Do what is said, or only say it.
run() {
    changed=yes
    say "${dry:+would: }$*"
    [ -n "$dry" ] || "$@"
}

systemd_runs() { [ -d /run/systemd/system ]; }
ours() { [ -z "$within_dpkg" ]; } # units, pages and links are dpkg's where it installed us

# ---------------------------------------------------------------- what is found on the host

# Print the first Python that is new enough and can make environments.
find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        path=$(command -v "$name") || continue
        "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        "$path" -c 'import ensurepip, venv' 2>/dev/null || continue
        printf '%s\n' "$path"
        return
    done
    return 1
}

get_python() {
    find_python >/dev/null && return
    if command -v apt-get >/dev/null; then
        run apt-get update -q
        run env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3 python3-venv
    elif command -v dnf >/dev/null; then
        run dnf install -q -y python3.11
    fi
    [ -n "$dry" ] || find_python >/dev/null || fail "a Python of at least 3.11 with venv is needed, and none could be installed"
}

# ---------------------------------------------------------------- accounts and folders

accounts() {
    getent group drop >/dev/null || run groupadd --system drop
    getent passwd s3batch >/dev/null ||
        run useradd --system --user-group --home-dir /var/lib/s3batch --no-create-home --shell "$(no_shell)" --groups drop s3batch
    in_group drop || run usermod --append --groups drop s3batch
    # The logs of the upload servers are adm's on Debian, and say which uploads broke off.
    { [ -z "$servers" ] || ! getent group adm >/dev/null || in_group adm; } || run usermod --append --groups adm s3batch
}

no_shell() { command -v nologin || printf "/sbin/nologin\n"; }
in_group() { id -nG s3batch 2>/dev/null | tr ' ' '\n' | grep -qx "$1"; }

# folder PATH OWNER:GROUP MODE: made where there is none; one that is there keeps its rights, for somebody may have meant them.
folder() {
    [ -d "$1" ] || run install -d -o "${2%:*}" -g "${2#*:}" -m "$3" "$1"
}

folders() {
    folder $ETC root:root 0755
    folder $ETC/credentials root:root 0700
    folder /var/lib/s3batch s3batch:s3batch 0700
    folder /var/cache/s3batch s3batch:s3batch 0700
    folder /var/log/s3batch s3batch:s3batch 0750
    # Nobody but root makes bucket folders: whoever does chooses a bucket.
    folder $DROP root:drop 0755
    folder $QUARANTINE s3batch:s3batch 0700
    for bucket in $buckets; do
        folder "$DROP/$bucket" root:drop 2775
    done
}

settings() {
    shared=$(part_of s3batch.toml)
    [ -e $ETC/s3batch.toml ] || run install -o root -g root -m 0644 "$shared" $ETC/s3batch.toml
    [ ! -e $ETC/s3batch.env ] || return 0
    sample=$(part_of s3batch.env)
    run install -o root -g s3batch -m 0640 "$sample" $ETC/s3batch.env
    [ -z "$buckets" ] || run sed -i "s/^#S3BATCH_BUCKETS=.*/S3BATCH_BUCKETS=$(printf '%s' "$buckets" | tr ' ' ',')/" $ETC/s3batch.env
}

# part_of NAME: where a file or folder that comes with this script lies, in a bundle or in the sources.
part_of() {
    for place in "$HERE/$1" "$HERE/../$1"; do
        [ ! -e "$place" ] || { printf '%s\n' "$place"; return; }
    done
    fail "$1 does not lie beside this script: use it from a bundle or from the sources"
}

# ---------------------------------------------------------------- the program

work=''
clean() { [ -z "$work" ] || rm -rf "$work"; }

# Leave our wheel in $work/own, and the folder of those it needs in $wheels where the package brings them.
gather() {
    work=$(mktemp -d)
    trap clean EXIT
    mkdir "$work/own"
    wheels=''
    case $package in
        *.tar.gz) mkdir "$work/bundle"; tar -xzf "$package" -C "$work/bundle" --strip-components=1; from_wheels "$work/bundle/wheels" ;;
        *.whl) cp "$package" "$work/own/" ;;
        *) if [ -d "$package/wheels" ]; then from_wheels "$package/wheels"
           elif [ -d "$package" ]; then from_sources "$package"
           else build "$package"; fi ;;
    esac
    set -- "$work"/own/s3batch-*.whl
    [ -e "$1" ] || fail "$package holds no wheel of s3batch"
    wheel=$1
}

from_wheels() {
    wheels=$1
    cp "$wheels"/s3batch-*.whl "$work/own/"
}

# Only what makes the wheel is copied: building leaves folders behind, and the sources are somebody's.
from_sources() {
    mkdir "$work/sources"
    for part in pyproject.toml README.md LICENSE s3batch s3sync; do
        cp -R "$1/$part" "$work/sources/" || fail "$1 holds neither wheels nor the sources of s3batch"
    done
    build "$work/sources"
}

# Dates as of always, so that the same sources are the same wheel, and installing them again is nothing to do.
build() {
    "$(find_python)" -m venv "$work/builder"
    SOURCE_DATE_EPOCH=1577836800 "$work/builder/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$work/own" "$1"
}

# Print the name of the release that a wheel makes: its version, and a digest of all that goes into it.
name_of_release() {
    version=$(basename "$wheel" | cut -d- -f2)
    digest=$({ cat "$wheel"; [ -z "$wheels" ] || ls "$wheels"; printf '%s' "$extras"; "$(find_python)" -V; } | sha256sum | cut -c1-8)
    printf '%s-%s\n' "$version" "$digest"
}

program() {
    if [ -n "$dry" ] && ! find_python >/dev/null; then
        say "would: install $package into $RELEASES and point $OPT at it"
        return
    fi
    gather
    release=$RELEASES/$(name_of_release)
    [ -e "$release/.whole" ] || environment "$release"
    [ "$(readlink $OPT 2>/dev/null || true)" = "$release" ] || switch_to "$release"
    [ -n "$dry" ] || forget_old_releases
}

environment() {
    run mkdir -p $RELEASES
    run rm -rf "$1"
    run "$(find_python)" -m venv "$1"
    # shellcheck disable=SC2086  # two words or none
    run "$1/bin/pip" install --quiet --disable-pip-version-check ${wheels:+--no-index --find-links "$wheels"} "$wheel${extras:+[$extras]}"
    run "$1/bin/s3batch" --version
    run touch "$1/.whole"
}

switch_to() {
    if [ -e $OPT ] && ! [ -L $OPT ]; then # an environment that was made by hand
        run mv $OPT "$RELEASES/by-hand-$(date -u +%Y%m%dT%H%M%SZ)"
    elif [ -L $OPT ]; then
        run ln -sfn "$(readlink $OPT)" $RELEASES/previous
    fi
    run ln -sfn "$1" $OPT.new
    run mv -T $OPT.new $OPT
    restart=yes
}

# Keep the release that is used, and the one before.
forget_old_releases() {
    for there in "$RELEASES"/*; do
        [ ! -L "$there" ] && [ -d "$there" ] || continue
        [ "$there" = "$(readlink $OPT)" ] || [ "$there" = "$(readlink $RELEASES/previous || true)" ] || run rm -rf "$there"
    done
}

links() {
    for name in s3batch s3sync; do
        [ "$(readlink "$BIN/$name" 2>/dev/null || true)" = "$OPT/bin/$name" ] || run ln -sfn "$OPT/bin/$name" "$BIN/$name"
    done
    as_agent=$(part_of as-agent.sh)
    put "$as_agent" $SBIN/s3batch-as-agent 0755
}

# Manual pages and completions are written by the program that was installed, so they are its own.
pages() {
    [ -n "${restart:-}" ] || [ ! -e $SHARE/man/man1/s3batch.1 ] || return 0
    run $OPT/bin/python -m s3batch.manual --man $SHARE/man/man1 --bash $SHARE/bash-completion/completions \
        --zsh $SHARE/zsh/site-functions --fish $SHARE/fish/vendor_completions.d
}

# ---------------------------------------------------------------- systemd and upload servers

# put FROM TO [MODE]: a file of ours that is replaced where it differs.
put() {
    cmp -s "$1" "$2" || run install -D -m "${3:-0644}" "$1" "$2"
}

units() {
    folder_of_units=$(part_of systemd)
    for unit in "$folder_of_units"/*.service "$folder_of_units"/*.timer; do
        put "$unit" "$UNITS/$(basename "$unit")"
    done
}

# Agents that run go on with the new version; those that do not are left as they are. A restart resumes what was under way.
tell_systemd() {
    systemd_runs || return 0
    [ -z "$changed" ] || run systemctl daemon-reload
    [ -n "${restart:-}" ] || return 0
    for unit in s3batch.service s3sync.service; do
        ! systemctl --quiet is-active $unit || run systemctl restart $unit
    done
}

SAMPLES="sshd-drop.conf:/etc/ssh/sshd_config.d/s3batch-drop.conf rsyslog-sftp.conf:/etc/rsyslog.d/s3batch-sftp.conf
    logrotate-sftp:/etc/logrotate.d/s3batch-sftp vsftpd.conf:$VSFTPD pam-vsftpd:/etc/pam.d/vsftpd
    vsftpd-openssl.cnf:/etc/ssl/vsftpd-openssl.cnf vsftpd-unit.conf:$UNITS/vsftpd.service.d/s3batch.conf"

# The samples are a beginning, to be fitted to the host: one that is there is never replaced.
drop_servers() {
    samples=$(part_of drop-servers)
    for pair in $SAMPLES; do
        from=$samples/${pair%%:*} to=${pair#*:}
        if [ ! -e "$to" ]; then
            run install -D -m 0644 "$from" "$to"
        elif ! cmp -s "$from" "$to"; then
            say "$to is there and is kept; compare it with $from"
        fi
    done
    # vsftpd makes its log for root alone, and nobody makes the other before the first upload: the agent has to read both.
    for log in /var/log/vsftpd.log /var/log/s3batch-sftp.log; do
        [ -e $log ] || ! getent group adm >/dev/null || run install -o root -g adm -m 0640 /dev/null $log
    done
}

# ---------------------------------------------------------------- the way back, and the way out

rollback() {
    before=$(readlink $RELEASES/previous) || fail "there is no version to go back to"
    [ -e "$before/.whole" ] || fail "$before is not whole: install that version again"
    switch_to "$before"
    pages
    tell_systemd
    say "$OPT is $(basename "$before") again. If it refuses a state database, that was brought to a newer schema: see docs/install.md"
}

remove_program() {
    if systemd_runs; then
        for unit in $AGENTS; do
            if systemctl --quiet is-enabled "$unit" 2>/dev/null || systemctl --quiet is-active "$unit"; then
                run systemctl disable --now "$unit"
            fi
        done
    fi
    if ours; then
        for file in "$UNITS"/s3batch*.service "$UNITS"/s3batch*.timer "$UNITS"/s3sync*.service "$UNITS"/s3sync*.timer \
            "$SHARE"/man/man1/s3batch*.1 "$SHARE"/man/man1/s3sync*.1 "$SHARE"/bash-completion/completions/s3batch \
            "$SHARE"/bash-completion/completions/s3sync "$SHARE"/zsh/site-functions/_s3batch "$SHARE"/zsh/site-functions/_s3sync \
            "$SHARE"/fish/vendor_completions.d/s3batch.fish "$SHARE"/fish/vendor_completions.d/s3sync.fish "$BIN/s3batch" "$BIN/s3sync" "$SBIN/s3batch-as-agent"; do
            { [ ! -e "$file" ] && [ ! -L "$file" ]; } || run rm -f "$file"
        done
    fi
    { [ ! -e $OPT ] && [ ! -L $OPT ]; } || run rm -rf $OPT
    [ ! -e $RELEASES ] || run rm -rf $RELEASES
    ! systemd_runs || [ -z "$changed" ] || run systemctl daemon-reload
}

what_stays() {
    say "Still there:"
    for place in $DROP $SYNC /var/lib/s3batch /var/lib/s3sync /var/cache/s3batch /var/log/s3batch /var/log/s3sync $ETC; do
        [ ! -e "$place" ] || say "  $place  ($(count_files "$place") files)"
    done
    for pair in $SAMPLES; do
        [ ! -e "${pair#*:}" ] || say "  ${pair#*:}"
    done
}

count_files() { find "$1" -type f 2>/dev/null | wc -l; }

confirm_purge() {
    [ -z "$yes" ] && [ -z "$dry" ] || return 0
    say "State, settings and accounts of s3batch will be removed. What is dropped and not archived yet stays in $DROP."
    printf 'Type "purge s3batch" to go on: '
    read -r typed || typed=''
    [ "$typed" = "purge s3batch" ] || fail "not confirmed, nothing was removed"
}

# Files in the drop zone exist nowhere else: they, and the folders they lie in, are not ours to remove.
purge() {
    for place in /var/lib/s3batch /var/lib/s3sync /var/cache/s3batch /var/log/s3batch /var/log/s3sync $ETC; do
        [ ! -e "$place" ] || run rm -rf "$place"
    done
    if [ -d $DROP ]; then
        if [ "$(count_files $DROP)" -eq 0 ]; then
            run find $DROP -depth -type d -empty -delete
        else
            say "$DROP holds $(count_files $DROP) files that are archived nowhere, or not yet removed: it stays"
        fi
    fi
    # Nobody but an operator makes this one, and it bears no name of ours.
    [ ! -d $SYNC ] || say "$SYNC holds $(count_files $SYNC) files: it stays"
    ! getent passwd s3batch >/dev/null || run userdel s3batch
    [ -d $DROP ] || [ -d $SYNC ] || ! getent group drop >/dev/null || run groupdel drop ||
        say "the group drop is somebody's and stays"
}

# ---------------------------------------------------------------- from the top

install_all() {
    get_python
    accounts
    folders
    settings
    program
    if ours; then
        links
        pages
        units
    fi
    [ -z "$servers" ] || drop_servers
    tell_systemd
    if [ -z "$changed" ]; then
        say "Nothing to do: $(basename "$(readlink $OPT)") is installed."
    elif [ -z "$dry" ] && [ -z "$within_dpkg" ]; then
        next_steps
    fi
}

next_steps() {
    cat <<EOF
s3batch $(basename "$(readlink $OPT)") is installed. Next, unless that is done:
  1. settings: $ETC/s3batch.env; secrets, one a file: $ETC/credentials/
  2. a folder for each bucket: install -d -o root -g drop -m 2775 $DROP/BUCKET
  3. s3batch-as-agent doctor
  4. systemctl enable --now s3batch.service
EOF
    [ -z "$servers" ] || cat <<EOF
  5. upload servers: what was kept above; sshd -t; reload sshd, restart rsyslog and vsftpd
  6. customers: $samples/customer.sh add NAME --bucket BUCKET
EOF
}

while [ $# -gt 0 ]; do
    case $1 in
        --package | --extras | --bucket)
            [ $# -ge 2 ] || misuse "$1 needs a value"
            case $1 in
                --package) package=$2 ;;
                --extras) extras=$2 ;;
                --bucket)
                    printf '%s\n' "$2" | grep -Eqx '[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]' || misuse "$2 is no name of a bucket"
                    buckets="${buckets:+$buckets }$2" ;;
            esac
            shift ;;
        --drop-servers) servers=yes ;;
        --rollback) mode=rollback ;;
        --uninstall) mode=uninstall ;;
        --purge) mode=purge ;;
        --within-dpkg) within_dpkg=yes ;; # by the Debian package's scripts
        --yes) yes=yes ;;
        --dry-run) dry=yes ;;
        -h | --help) usage; exit 0 ;;
        *) misuse "$1 is not understood" ;;
    esac
    shift
done

[ -n "$dry" ] || [ "$(id -u)" -eq 0 ] || fail "must be run as root (or with --dry-run)"
[ -n "$package" ] || { [ -d "$HERE/wheels" ] && package=$HERE || package=$HERE/..; }
if [ -z "$dry" ]; then
    exec 9>/run/lock/s3batch-install
    flock -n 9 || fail "is running already"
fi

case $mode in
    install) install_all ;;
    rollback) rollback ;;
    uninstall) remove_program; what_stays ;;
    purge) confirm_purge; remove_program; purge ;;
esac

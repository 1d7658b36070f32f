#!/bin/sh
# Make the private environment in .venv/ from Pipfile.lock, by a pipenv of its own in .tools/.
#
# Needs a Python of at least 3.11 with venv, nothing else. Does nothing where .venv/ was already made from the same files;
# whatever breaks it off, running it again goes on from there. Where packages come from is pip's own configuration.
set -eu
cd "$(dirname "$0")/.."

made_from=.venv/.made-from
inputs="Pipfile.lock pyproject.toml deploy/pipenv.txt"

say() { printf '%s\n' "$*" >&2; }

# Print the first Python that is new enough and can make environments; explain what to install where there is none.
find_python() {
    unable=
    for name in python3.14 python3.13 python3.12 python3.11 python3; do
        path=$(command -v "$name") || continue
        "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        if "$path" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s\n' "$path"
            return
        fi
        unable=$name
    done
    if [ -n "$unable" ]; then
        say "$unable cannot make environments (ensurepip is missing). On Debian and Ubuntu:"
        say "    apt-get install $unable-venv"
    else
        say "A Python of at least 3.11 is needed. On Debian and Ubuntu:"
        say "    apt-get install python3 python3-venv"
    fi
    return 1
}

# Remove an environment whose interpreter no longer runs, as after an upgrade of the system.
drop_if_broken() {
    if [ -e "$1" ] && ! "$1/bin/python" -c '' 2>/dev/null; then
        rm -rf "$1"
    fi
}

# shellcheck disable=SC2086  # a list of names
wanted=$(cat $inputs | cksum)
drop_if_broken .venv
if [ "$(cat "$made_from" 2>/dev/null)" = "$wanted" ]; then
    touch "$made_from"
    exit 0
fi

python=$(find_python)
rm -f "$made_from"

drop_if_broken .tools
if ! [ -x .tools/bin/pip ]; then
    say "making .tools/ (pipenv) with $python ..."
    "$python" -m venv .tools
fi
.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement deploy/pipenv.txt

say "making .venv/ from Pipfile.lock ..."
PIPENV_VENV_IN_PROJECT=1 PIPENV_IGNORE_VIRTUALENVS=1 PIPENV_NOSPIN=1 PIPENV_QUIET=1 .tools/bin/pipenv sync >&2
printf '%s\n' "$wanted" >"$made_from"

# What up and test share.  Sourced, not run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
began=$SECONDS

# npm brings its own list of authorities; here it shall trust those of the system too, as apt and pip do.
system_authorities=/etc/ssl/certs/ca-certificates.crt
if [ -e "$system_authorities" ]; then export NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:-$system_authorities}"; fi

say() { printf '[%3ds] %s\n' "$((SECONDS - began))" "$*"; }

fail() {
    printf 'annexfleet: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# need_packages PACKAGE[:PROGRAM]... installs the Debian packages that are missing; a package whose program can be
# run already, wherever it came from, is not missing.
need_packages() {
    local wanted package program missing=()
    for wanted in "$@"; do
        package=${wanted%%:*}
        program=${wanted#*:}
        if [ "$program" != "$wanted" ]; then
            PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null && continue
        fi
        dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q ' installed$' && continue
        missing+=("$package")
    done
    [ "${#missing[@]}" -eq 0 ] && return
    command -v apt-get >/dev/null || fail "please install: ${missing[*]} (this machine has no apt-get)"
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
        fail "please install as root: apt-get install ${missing[*]} (there is no sudo here)"
    say "installing Debian packages: ${missing[*]}"
    install_quietly "${missing[@]}"
}

# Debian starts a daemon as soon as its package is there; ours are run by us, so that is held off meanwhile.
install_quietly() {
    local guard=/usr/sbin/policy-rc.d log
    log=$(mktemp)
    if [ ! -e "$guard" ]; then
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$guard" >/dev/null
        as_root chmod 755 "$guard"
    else
        guard=
    fi
    if ! { as_root apt-get -qq update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y "$@"; } \
        </dev/null >"$log" 2>&1; then
        tail -20 "$log" >&2
        fail "apt-get could not install: $*"
    fi
    rm -f "$log"
    if [ -n "$guard" ]; then
        as_root rm -f "$guard"
        trap - EXIT
    fi
    # Neither now nor at the next boot: the controller runs its own broker.
    if [ -d /run/systemd/system ]; then
        as_root systemctl --quiet disable --now mosquitto.service 2>/dev/null || true
    fi
}

# A Python of 3.11 or later that can make virtual environments.
find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3.14 python3 /usr/bin/python3; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$name
            return
        fi
    done
    need_packages python3-venv
    python=/usr/bin/python3
    "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "Python 3.11 or later is needed; Debian 12 has it"
}

# A digest of everything that gets installed, so that nothing is installed twice.
sources_digest() {
    (
        cd "$root" || exit
        "$python" --version
        find agent controller deploy/constraints.txt -type f \
            -not -path '*/__pycache__/*' -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/build/*' \
            -not -path '*/static/vendor/*' -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum
    ) | sha256sum | cut -d' ' -f1
}

# ensure_environment DIRECTORY PIP-ARGUMENT... makes a virtual environment with what is asked for, unless it is there.
ensure_environment() {
    local environment=$1 digest
    shift
    digest=$(printf '%s\n' "$(sources_digest)" "$@" | sha256sum | cut -d' ' -f1)
    [ "$(cat "$environment/installed" 2>/dev/null)" = "$digest" ] && return
    mkdir -p "$environment"
    [ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
    rm -f "$environment/installed"
    say "installing Python packages"
    pip_install "$environment" "$@"
    printf '%s\n' "$digest" >"$environment/installed"
}

pip_install() {
    local environment=$1
    shift
    # The same pins hold for what builds the packages.
    (
        cd "$root" || exit
        PIP_CONSTRAINT="$root/deploy/constraints.txt" PIP_BUILD_CONSTRAINT="$root/deploy/constraints.txt" \
            PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 \
            PATH="$environment/bin:$PATH" "$environment/bin/python" -m pip install --quiet --quiet "$@"
    ) || fail "pip could not install the packages; its message stands above"
}

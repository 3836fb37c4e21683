#!/bin/sh
# Installs what the fixture recorder needs: system tools (apt, only those that lack), Python packages in
# tests/lab/.venv, Node packages in tests/lab/node_modules. Run again, it changes nothing. With --libraries: the packages of
# Python and Node alone, for scenarios without a proxy or a browser.
set -eu
cd "$(dirname "$0")"

libraries() {
    [ -x .venv/bin/python ] || python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
    npm ci --silent --no-audit --no-fund
}
if [ "${1:-}" = "--libraries" ]; then
    libraries
    exit
fi

missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need tcpdump tcpdump
need tshark tshark
need dumpcap wireshark-common
need ip iproute2
need nft nftables
need ethtool ethtool
need sysctl procps
need nginx nginx
need haproxy haproxy
need nghttpx nghttp2-proxy
need chromium chromium
need conntrack conntrack
need node nodejs
need npm npm
need python3 python3
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo="sudo"
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get update -q
    # shellcheck disable=SC2086 # a list of package names
    $sudo apt-get install -q -y --no-install-recommends $missing
fi
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup.sh: the recorder needs Python 3.11 or newer (tomllib)" >&2
    exit 1
}

libraries

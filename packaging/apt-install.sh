#!/bin/sh
# Installs Debian packages quietly: packaging/apt-install.sh PACKAGE...
# The package lists of a fresh machine are empty or old, and mirrors hiccup: so once more after an update.
set -eu
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$log" 2>&1 </dev/null; }

install "$@" && exit 0
for pause in 0 5 20; do
    sleep "$pause"
    apt-get update >"$log" 2>&1 </dev/null && install "$@" && exit 0
done
cat "$log" >&2
echo "Cannot install the Debian packages: $*. What apt-get said is above." >&2
exit 1

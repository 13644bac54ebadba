#!/bin/sh
# Installs wasupervisor as a systemd service: sudo packaging/systemd/install.sh
# Again: an upgrade; the configuration and the state are kept.    --uninstall: removes it; they are kept too.
# --allow-restart UNIT: lets the daemon restart the gateway's unit, by a polkit rule; again: another unit instead.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
venv=/opt/wasupervisor
etc=/etc/wasupervisor
unit=/etc/systemd/system/wasupervisor.service
link=/usr/local/bin/wasupervisor
rule=/etc/polkit-1/rules.d/50-wasupervisor.rules

fail() { printf '%s\n' "$@" >&2; exit 1; }
booted() { [ -d /run/systemd/system ]; } # not so in an image that is being built
reload_units() { if booted; then systemctl daemon-reload; fi; }

uninstall() {
    if booted && [ -e "$unit" ]; then systemctl disable --quiet --now wasupervisor.service; fi
    rm -f "$unit" "$rule"
    if [ "$(readlink "$link")" = "$venv/bin/wasupervisor" ]; then rm "$link"; fi
    if [ -e "$venv/pyvenv.cfg" ]; then rm -rf "$venv"; fi
    reload_units
    echo "wasupervisor is removed. Kept: $etc, /var/lib/wasupervisor and the user wasupervisor. To remove those too:"
    echo "  sudo rm -r $etc /var/lib/wasupervisor && sudo userdel wasupervisor"
}

# The service's user must be able to run it, so not a Python of somebody's home folder.
choose_python() {
    if [ -n "${PYTHON:-}" ]; then return; fi
    PYTHON=/usr/bin/python3
    [ -x "$PYTHON" ] || PYTHON=python3
}

install_program() {
    if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
            fail "Cannot install: $venv exists and is no virtual environment. Move it away, then try again."
        fi
        "$source/packaging/venv.sh" "$PYTHON" "$venv"
    fi
    # Built from a copy: setuptools would leave files of root in the checkout, and take up what an older build left.
    cp -r "$source/wasupervisor" "$source/pyproject.toml" "$source/README.md" "$source/LICENSE" "$scratch"
    "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off "$scratch" >"$scratch/log" 2>&1 ||
        fail "$(cat "$scratch/log")" "Cannot install: what pip said is above."
    runuser -u wasupervisor -- "$venv/bin/wasupervisor" version >"$scratch/log" 2>&1 ||
        fail "$(cat "$scratch/log")" "Cannot install: the user wasupervisor cannot run $venv/bin/wasupervisor." \
            "Was it made with a Python in a private folder? Run:  sudo rm -r $venv && sudo PYTHON=/usr/bin/python3 $0"
    [ -e "$link" ] || ln -sfn "$venv/bin/wasupervisor" "$link"
}

install_configuration() {
    install -d -m 0750 -g wasupervisor "$etc"
    [ -e "$etc/config.yaml" ] || install -m 0640 -g wasupervisor "$source/config.example.yaml" "$etc/config.yaml"
    [ -e "$etc/environment" ] || install -m 0600 "$here/environment" "$etc/environment"
}

install_all() {
    choose_python
    getent passwd wasupervisor >/dev/null ||
        useradd --system --user-group --home-dir /var/lib/wasupervisor --no-create-home --shell /usr/sbin/nologin wasupervisor
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    install_program
    install_configuration
    install -m 0644 "$here/wasupervisor.service" "$unit"
    reload_units
    if booted && systemctl is-active --quiet wasupervisor.service; then
        echo "Upgraded. The daemon that runs is still the old one:  sudo systemctl restart wasupervisor"
        return
    fi
    cat <<END
Installed $("$venv/bin/wasupervisor" version). Next:
  sudoedit $etc/config.yaml          gateway.kind and gateway.url
  sudoedit $etc/environment          the gateway's API key
  sudo wasupervisor config validate
  sudo systemctl enable --now wasupervisor
Who may ask it without sudo (status, history, pause, ...):  sudo usermod -aG wasupervisor NAME
To let it restart the gateway's unit:  sudo $0 --allow-restart waha.service
END
}

# The name stands in a program of polkit's, so that nothing but the letters of a unit's name may come there.
allow_restart() {
    case "$1" in
        '' | *[!A-Za-z0-9:_.@-]*) fail "Cannot allow it: '$1' is not the name of a unit such as waha.service." ;;
        *.service) gateway=$1 ;;
        *.*) fail "Cannot allow it: '$1' is not a service. Name the gateway's unit, such as waha.service." ;;
        *) gateway=$1.service ;;
    esac
    if [ "$gateway" = wasupervisor.service ]; then fail "Cannot allow it: that is the daemon's own unit. Name the gateway's."; fi
    [ -d "${rule%/*}" ] || fail "Cannot allow it: there is no ${rule%/*}. Install polkit 0.106 or later (Debian: polkitd)."
    sed "s/@UNIT@/$gateway/" "$here/polkit.rules" >"$rule.new"
    chmod 0644 "$rule.new"
    mv "$rule.new" "$rule"
    cat <<END
The user wasupervisor may restart $gateway now ($rule). In $etc/config.yaml:
  recovery: {restart_gateway: {by: systemd, unit: $gateway}}
END
}

usage() { echo "usage: $0 [--uninstall | --allow-restart UNIT]" >&2; exit 2; }
case "$#:${1:-}" in
    0: | 1:--uninstall | 2:--allow-restart) ;;
    *) usage ;;
esac
[ "$(id -u)" = 0 ] || fail "Cannot install: it needs root. Run:  sudo $0 $*"
case "${1:-}" in
    --uninstall) uninstall ;;
    --allow-restart) allow_restart "$2" ;;
    *) install_all ;;
esac

#!/bin/sh
# Installs wasupervisor as a systemd service: sudo packaging/systemd/install.sh
# Again: an upgrade; the configuration and the state are kept.    --uninstall: removes it; they are kept too.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
venv=/opt/wasupervisor
etc=/etc/wasupervisor
unit=/etc/systemd/system/wasupervisor.service
link=/usr/local/bin/wasupervisor

fail() { printf '%s\n' "$@" >&2; exit 1; }
booted() { [ -d /run/systemd/system ]; } # not so in an image that is being built
reload_units() { if booted; then systemctl daemon-reload; fi; }

uninstall() {
    if booted && [ -e "$unit" ]; then systemctl disable --quiet --now wasupervisor.service; fi
    rm -f "$unit"
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
END
}

case "$*" in
    '' | --uninstall) ;;
    *) echo "usage: $0 [--uninstall]" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || fail "Cannot install: it needs root. Run:  sudo $0 $*"
if [ "$*" = --uninstall ]; then uninstall; else install_all; fi

#!/bin/sh
# Installs wasupervisor as a systemd service: sudo packaging/systemd/install.sh
# Again: an upgrade; the configuration and the state are kept.    --uninstall: removes it; they are kept too.
# Beside the Debian package too, each again does no harm:
# --allow-restart UNIT...: lets the daemon restart the gateway's unit, by a polkit rule; again: others instead.
# --allow-command, --allow-ptrace: loosens the units by the file of that name, where it says what for and what it costs.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
venv=/opt/wasupervisor
etc=/etc/wasupervisor
units=/etc/systemd/system
sysusers=/etc/sysusers.d/wasupervisor.conf
tmpfiles=/etc/tmpfiles.d/wasupervisor.conf
catalogs=/usr/local/lib/systemd/catalog
link=/usr/local/bin/wasupervisor
rule=/etc/polkit-1/rules.d/50-wasupervisor.rules

fail() { printf '%s\n' "$@" >&2; exit 1; }
booted() { [ -d /run/systemd/system ]; } # not so in an image that is being built
reload_units() { if booted; then systemctl daemon-reload; fi; }
# Of the service, its instances and their sockets; a socket stands before its service, which a probe would start again.
our_units() {
    systemctl list-units --plain --no-legend --full "$@" 'wasupervisor.s*' 'wasupervisor@*' |
        cut -d' ' -f1 | LC_ALL=C sort -r
}

# Two installations would hide one another: a unit in /etc stands before the package's own.
refuse_beside_package() {
    case "$(dpkg-query -W -f='${db:Status-Status}' wasupervisor 2>/dev/null)" in
        '' | not-installed | config-files) return 0 ;; # half installed is there too
    esac
    fail "Cannot do it: the Debian package wasupervisor is installed, with all that this script installs." \
        "Upgrade it:  sudo apt install ./wasupervisor_VERSION_ARCH.deb" \
        "Or remove it first:  sudo apt remove wasupervisor"
}

uninstall() {
    if booted; then
        our_units --all | while read -r unit; do
            systemctl disable --quiet --now "$unit" 2>/dev/null || systemctl stop "$unit"
        done
    fi
    rm -f "$units/wasupervisor.service" "$units/wasupervisor@.service" "$units/wasupervisor.socket"
    rm -f "$rule" "$sysusers" "$tmpfiles"
    for folder in "$units/wasupervisor.service.d" "$units/wasupervisor@.service.d"; do
        rm -f "$folder/allow-command.conf" "$folder/allow-ptrace.conf" "$folder/slower-restarts.conf"
        rmdir "$folder" 2>/dev/null || true # what a person wrote stays
    done
    if [ -e "$catalogs/wasupervisor.catalog" ]; then
        rm "$catalogs/wasupervisor.catalog"
        journalctl --update-catalog
    fi
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

install_user_and_folders() {
    install -D -m 0644 "$here/sysusers.conf" "$sysusers"
    install -D -m 0644 "$here/tmpfiles.conf" "$tmpfiles"
    systemd-sysusers "$sysusers"
    systemd-tmpfiles --create "$tmpfiles"
}

install_configuration() {
    [ -e "$etc/config.yaml" ] || install -m 0640 -g wasupervisor "$source/config.example.yaml" "$etc/config.yaml"
    [ -e "$etc/environment" ] || install -m 0600 "$here/environment" "$etc/environment"
}

install_units() {
    for file in wasupervisor.service wasupervisor@.service wasupervisor.socket; do
        install -m 0644 "$here/$file" "$units/$file"
    done
    # An older one tells of each line that it does not know, at each reload.
    version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
    if [ "$version" -ge 254 ]; then add_to_units slower-restarts.conf; fi
    for file in "$here"/*.catalog; do
        [ -e "$file" ] || continue
        install -D -m 0644 "$file" "$catalogs/wasupervisor.catalog"
        journalctl --update-catalog
    done
    reload_units
}

add_to_units() {
    install -D -m 0644 "$here/$1" "$units/wasupervisor.service.d/$1"
    install -D -m 0644 "$here/$1" "$units/wasupervisor@.service.d/$1"
}

install_all() {
    choose_python
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    install_user_and_folders
    install_program
    install_configuration
    install_units
    if booted && our_units --state=active,activating,reloading | grep -q '\.service$'; then
        echo "Upgraded. The daemon that runs is still the old one:  sudo systemctl restart 'wasupervisor*.service'"
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
full_name() {
    case "$1" in
        '' | *[!A-Za-z0-9:_.@-]*) fail "Cannot allow it: '$1' is not the name of a unit such as waha.service." ;;
        *.service) gateway=$1 ;;
        *.*) fail "Cannot allow it: '$1' is not a service. Name the gateway's unit, such as waha.service." ;;
        *) gateway=$1.service ;;
    esac
    case "$gateway" in
        wasupervisor.service | wasupervisor@*) fail "Cannot allow it: that is the daemon's own unit. Name the gateway's." ;;
    esac
}

allow_restart() {
    names='' quoted=''
    for unit in "$@"; do
        full_name "$unit"
        names="${names:+$names, }$gateway"
        quoted="${quoted:+$quoted, }\"$gateway\""
    done
    [ -d "${rule%/*}" ] || fail "Cannot allow it: there is no ${rule%/*}. Install polkit 0.106 or later (Debian: polkitd)."
    sed "/^ /s/@UNITS@/$quoted/" "$here/polkit.rules" >"$rule.new"
    chmod 0644 "$rule.new"
    mv "$rule.new" "$rule"
    cat <<END
The user wasupervisor may restart $names now ($rule). In $etc/config.yaml:
  recovery: {restart_gateway: {by: systemd, unit: $gateway}}
END
}

loosen() {
    add_to_units "$1.conf"
    reload_units
    echo "The units are loosened by $units/wasupervisor.service.d/$1.conf from the next start on:"
    echo "  sudo systemctl restart 'wasupervisor*.service'"
}

usage() { echo "usage: $0 [--uninstall | --allow-restart UNIT... | --allow-command | --allow-ptrace]" >&2; exit 2; }
case "$#:${1:-}" in
    0: | 1:--uninstall | 1:--allow-command | 1:--allow-ptrace) ;;
    1:--allow-restart) usage ;;
    *:--allow-restart) ;;
    *) usage ;;
esac
[ "$(id -u)" = 0 ] || fail "Cannot install: it needs root. Run:  sudo $0 $*"
case "${1:-}" in
    --uninstall) refuse_beside_package; uninstall ;;
    --allow-restart) shift; allow_restart "$@" ;;
    --allow-*) loosen "${1#--}" ;;
    *) refuse_beside_package; install_all ;;
esac

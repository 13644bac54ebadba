#!/bin/sh
# Builds dist/wasupervisor_VERSION_ARCH.deb: packaging/deb/build.sh [VERSION [FOLDER]]
# Without a version it is the program's own; another folder than dist is for the tests.
# On the release of Debian that it is for, with that one's Python: a bundle of libraries belongs to one minor version.
# Measured on Debian 12.
# Needs the network for the libraries; installing the package does not.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
systemd=$source/packaging/systemd
python=/usr/bin/python3
venv=opt/wasupervisor
needs="dpkg-dev gcc python3-dev python3-venv"

fail() { printf '%s\n' "$@" >&2; exit 1; }

check_machine() {
    command -v dpkg-deb >/dev/null || fail "Cannot build: there is no dpkg-deb. Build the package on Debian 12."
    minor=$("$python" -c 'import sys; print(sys.version_info[1])') || fail "Cannot build: $python does not run."
    [ "$minor" -ge 11 ] || fail "Cannot build: wasupervisor needs Python 3.11; $python is 3.$minor."
    site=$venv/lib/python3.$minor/site-packages
    missing=
    for package in $needs; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    [ "$(id -u)" = 0 ] || fail "Cannot build: packages are missing. Run:  sudo apt-get install$missing"
    echo "Installing what the build needs:$missing"
    # shellcheck disable=SC2086
    "$source/packaging/apt-install.sh" $missing
}

# Of the last commit, so that the same sources give the same package.
choose_time() {
    : "${SOURCE_DATE_EPOCH:=$(git -C "$source" log -1 --format=%ct 2>/dev/null || stat -c %Y "$source/CHANGELOG.md")}"
    export SOURCE_DATE_EPOCH
}

# pip stays outside. From a copy: setuptools would leave files in the checkout, and take up what an older build left.
install_libraries() {
    echo "Installing wasupervisor and its libraries"
    "$python" -m venv "$work/tools"
    mkdir "$work/source"
    cp -r "$source/wasupervisor" "$source/pyproject.toml" "$source/README.md" "$source/LICENSE" "$work/source"
    # Nothing is compiled here: the same libraries are the same files, and need no more of the host than they say.
    "$work/tools/bin/python" -m pip install --disable-pip-version-check --progress-bar off --no-compile \
        --only-binary=:all: --target "$root/$site" "$work/source[queue]" >"$work/log" 2>&1 ||
        fail "$(cat "$work/log")" "Cannot build: what pip said is above."
    # Programs of the libraries, what bullmq's wheel holds by mistake, and what names a folder of this machine.
    rm -rf "$root/$site/bin" "$root/$site/node_modules"
    # No RECORD: pip is not to change what dpkg keeps (PEP 627).
    rm -f "$root/$site"/*.dist-info/direct_url.json "$root/$site"/*.dist-info/RECORD
    find "$root/$site" -type f -exec chmod 0644 {} +
    find "$root/$site" -name '*.so' -exec strip --strip-unneeded {} +
}

make_venv() {
    mkdir "$root/$venv/bin"
    ln -s /usr/bin/python3 "$root/$venv/bin/python3"
    ln -s python3 "$root/$venv/bin/python"
    cat >"$root/$venv/pyvenv.cfg" <<END
home = /usr/bin
include-system-site-packages = false
version = 3.$minor
END
    cat >"$root/$venv/bin/wasupervisor" <<END
#!/$venv/bin/python3
import sys

from wasupervisor.__main__ import main

sys.exit(main())
END
    chmod 0755 "$root/$venv/bin/wasupervisor"
    mkdir -p "$root/usr/bin"
    ln -s /$venv/bin/wasupervisor "$root/usr/bin/wasupervisor"
}

# The files are the package's: nobody edits them, so nobody need compare their times with those of the sources.
compile_modules() {
    PYTHONHASHSEED=0 "$python" -m compileall -q --invalidation-mode unchecked-hash -s "$root" -p / "$root/$site"
}

install_systemd() {
    units=$root/lib/systemd/system
    share=$root/usr/share/wasupervisor
    mkdir -p "$units" "$share" "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d" "$root/usr/lib/systemd/catalog"
    install -m 0644 "$systemd"/*.service "$systemd"/*.socket "$units"
    install -m 0644 "$systemd/sysusers.conf" "$root/usr/lib/sysusers.d/wasupervisor.conf"
    install -m 0644 "$systemd/tmpfiles.conf" "$root/usr/lib/tmpfiles.d/wasupervisor.conf"
    install -m 0644 "$systemd"/*.catalog "$root/usr/lib/systemd/catalog"
    # What an operator may allow it afterwards: install.sh --allow-restart UNIT, and the like.
    install -m 0644 "$systemd/polkit.rules" "$systemd"/allow-*.conf "$share"
    install -m 0755 "$systemd/install.sh" "$share"
}

# A short one: dpkg asks the operator whenever a file that he has edited is another one in the new version.
install_configuration() {
    etc=$root/etc/wasupervisor
    install -d -m 0750 "$etc"
    install -m 0640 "$here/config.yaml" "$etc"
    install -m 0600 "$systemd/environment" "$etc"
}

install_documents() {
    doc=$root/usr/share/doc/wasupervisor
    mkdir -p "$doc/examples" "$root/usr/share/man/man1" "$root/usr/share/lintian/overrides"
    cp -r "$source/docs" "$doc/docs"
    rm -f "$doc/docs"/*.py
    install -m 0644 "$source/README.md" "$source/CHANGELOG.md" "$doc"
    install -m 0644 "$source/config.example.yaml" "$doc/examples/config.yaml"
    "$python" "$here/copyright.py" "$root" "$site" >"$doc/copyright"
    gzip -9n >"$doc/changelog.gz" <<END
wasupervisor ($version) unstable; urgency=medium

  * What changed for its users: CHANGELOG.md, in this folder.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
    gzip -9n <"$here/wasupervisor.1" >"$root/usr/share/man/man1/wasupervisor.1.gz"
    install -m 0644 "$here/lintian-overrides" "$root/usr/share/lintian/overrides/wasupervisor"
}

# Which of Debian's libraries the compiled modules need, in which versions.
shared_libraries() {
    mkdir -p "$work/shlibs/debian"
    printf 'Source: wasupervisor\n\nPackage: wasupervisor\nArchitecture: any\n' >"$work/shlibs/debian/control"
    (cd "$work/shlibs" && find "$root/$site" -name '*.so' -exec dpkg-shlibdeps -O {} + 2>"$work/log") |
        sed 's/^shlibs:Depends=//'
}

write_control() {
    control=$root/DEBIAN
    mkdir "$control"
    libraries=$(shared_libraries)
    [ -n "$libraries" ] || fail "$(cat "$work/log")" "Cannot build: what dpkg-shlibdeps said is above."
    size=$(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)
    sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" -e "s/@LIBRARIES@/$libraries/" \
        -e "s/@PYTHON@/python3 (>= 3.$minor), python3 (<< 3.$((minor + 1)))/" "$here/control" >"$control/control"
    (cd "$root" && find etc -type f | LC_ALL=C sort | sed 's|^|/|') >"$control/conffiles"
    (cd "$root" && find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z |
        xargs -0 md5sum) >"$control/md5sums"
    for script in preinst postinst prerm postrm; do install -m 0755 "$here/$script" "$control"; done
}

check_machine
choose_time
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"
version=${1:-$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$source/wasupervisor/__init__.py")}
arch=$(dpkg --print-architecture)
maintainer=$(sed -n 's/^Maintainer: //p' "$here/control")
install_libraries
make_venv
compile_modules
install_systemd
install_configuration
install_documents
write_control
folder=${2:-$source/dist}
mkdir -p "$folder"
deb=$folder/wasupervisor_${version}_${arch}.deb
dpkg-deb --root-owner-group --build -Zxz "$root" "$deb" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
echo "Built $deb ($(du -h "$deb" | cut -f1)). Install it:  sudo apt install $deb"

#!/usr/bin/env bash
# Compares two conformance suites with the host, case by case: busybox's own and Open POSIX, both built from Debian's
# source packages. What passes natively every time must pass inside, in either placement. Takes about half an hour, so CI does
# not run it; docs/SUITES.md keeps what it found.
#
#   tests/suites/conformance.sh [--dir DIR] [SUITE…] [-- OPTION…]
#
# SUITE is busybox or posix (both unless named), DIR keeps sources and results (target/suites), and the options are those of
# compare.py: `-- --only 'mq_.*' --ways native,auto` runs some cases in some ways.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=$root/target/suites
suites=()
while [ $# -gt 0 ]; do
    case $1 in
        --dir) dir=$2; shift 2 ;;
        --) shift; break ;;
        busybox|posix) suites+=("$1"); shift ;;
        *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
    esac
done
[ ${#suites[@]} -gt 0 ] || suites=(busybox posix)
for needed in apt-get:apt dpkg-source:dpkg-dev make:make gcc:gcc setsid:util-linux /bin/busybox:busybox-static; do
    command -v "${needed%:*}" >/dev/null || { echo "$0: ${needed%:*} is missing: apt-get install ${needed#*:}" >&2; exit 2; }
done
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# Debian's source packages, from the mirror that the machine's binary packages come from, with lists of their own: nothing of the
# machine's configuration changes.
fetch() {
    mkdir -p "$dir"/apt/{sources,lists/partial}
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -e "$file" ] || continue
        sed -n 's/^[[:space:]]*deb[[:space:]]/deb-src /p' "$file" >"$dir/apt/sources/$(basename "$file" .list)-src.list"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -e "$file" ] || continue
        sed 's/^Types:.*/Types: deb-src/' "$file" >"$dir/apt/sources/$(basename "$file" .sources)-src.sources"
    done
    cat >"$dir/apt/apt.conf" <<EOF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$dir/apt/sources";
Dir::State::lists "$dir/apt/lists";
Dir::Cache::srcpkgcache "$dir/apt/source.bin";
Dir::Cache::pkgcache "$dir/apt/package.bin";
APT::Sandbox::User "root";
EOF
    export APT_CONFIG=$dir/apt/apt.conf
    apt-get -q update
    (cd "$dir" && apt-get -q source --download-only "$@")
    unset APT_CONFIG
}

# The tree of source package $1, patched as Debian has it, as $dir/$1.
unpack() {
    [ -d "$dir/$1" ] && return
    ls "$dir/$1"_*.dsc >/dev/null 2>&1 || fetch "$1"
    dpkg-source --no-check -x "$dir/$1"_*.dsc "$dir/$1"
}

# Only the tests of busybox are of its source: the program is Debian's /bin/busybox, whose configuration the tests read.
build_busybox() {
    unpack busybox
    cp "$dir/busybox/debian/config/pkg/static" "$dir/busybox/.config"
    cp /bin/busybox "$dir/busybox/busybox"
}

# Warnings of today's compiler are no errors; what does not compile (49 programs that lack an include) is no case.
build_posix() {
    unpack posixtestsuite
    [ -e "$dir/posixtestsuite/built" ] && return
    make -C "$dir/posixtestsuite" -k -j"$(nproc)" build-tests POSIX_TARGET=conformance \
        CFLAGS="-g -O2 -w -std=gnu99 -D_POSIX_C_SOURCE=200112L" >"$dir/posix.build" 2>&1 || true
    echo "posix: $(grep -c 'link: PASS' "$dir/posix.build") programs built, $(grep -c FAILED "$dir/posix.build") do not compile"
    touch "$dir/posixtestsuite/built"
}

cargo build --release --manifest-path "$root/Cargo.toml" -p libos
different=0
for suite in "${suites[@]}"; do
    "build_$suite"
    python3 "$here/compare.py" "$suite" "$dir" "$@" || different=1
done
exit $different

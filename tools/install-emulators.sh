#!/usr/bin/env bash
# install-emulators.sh [PREFIX]: the AWS emulators of the rehearsal and the tests, moto and MiniStack.
#
# Each goes into a Python environment of its own, PREFIX/emulators/<name>, since they pin different versions of the same
# packages, from the Python package index with the machine's ordinary pip configuration. All versions are pinned in
# tools/emulators/<name>.txt. No root, nothing of the host is touched. PREFIX is that of tools/install-servers.sh.
# An environment whose stamp matches is left alone, so that the second run takes no time and no network.
#
# Needs python3 (3.10 or newer) with its venv module: on Debian the packages python3 and python3-venv.
# Prints, and writes to PREFIX/emulators.env, NAME=path lines. Exit: 0 done, 1 the installation failed, 2 not here.
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

log() { echo "install-emulators: $*" >&2; }

not_here() { # reason
  log "$1"
  log "the tests and the rehearsal of AWS need it; everything else works without"
  exit 2
}

# What is asked for; whatever it needs in turn is pinned in the list.
wanted() { # emulator
  case $1 in
    moto)      echo "moto[ec2,iam,ssm,route53resolver] flask flask-cors" ;;
    ministack) echo "ministack cbor2" ;;
  esac
}

program_of() { # emulator
  case $1 in
    moto)      echo moto_server ;;
    ministack) echo ministack ;;
  esac
}

stamp() { # emulator: changes with everything that matters
  { echo "$PREFIX $(wanted "$1") $(python3 --version 2>&1)"; cat "$here/emulators/$1.txt"; } | sha256sum | cut -d ' ' -f 1
}

check_python() {
  command -v python3 > /dev/null || not_here "this machine has no python3 (on Debian: apt-get install python3 python3-venv)"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    not_here "the emulators need Python 3.10 or newer, and this is $(python3 --version)"
  python3 -c 'import venv, ensurepip' 2> /dev/null ||
    not_here "python3 lacks its venv module (on Debian: apt-get install python3-venv)"
}

install() { # emulator
  local name=$1 dir=$PREFIX/emulators/$1 start=$SECONDS want
  if [ -f "$dir/.stamp" ] && command -v python3 > /dev/null && [ "$(cat "$dir/.stamp")" = "$(stamp "$name")" ]; then return; fi
  check_python
  want=$(wanted "$name")
  log "$name: installing $(grep -E "^$name==" "$here/emulators/$name.txt")"
  rm -rf "$dir"; mkdir -p "$dir"
  python3 -m venv "$dir" >&2 || return 1
  # shellcheck disable=SC2086  # a list of packages
  "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$here/emulators/$name.txt" $want >&2 || {
    rm -rf "$dir"
    log "$name: pip failed (its message stands above). Is the package index reachable?"
    return 1
  }
  stamp "$name" > "$dir/.stamp"
  log "$name: ready in $((SECONDS - start)) s"
}

paths() {
  local name program
  for name in moto ministack; do
    program=$PREFIX/emulators/$name/bin/$(program_of "$name")
    [ ! -x "$program" ] || printf '%s=%q\n' "$(program_of "$name" | tr '[:lower:]' '[:upper:]')" "$program"
  done
}

main() {
  local failed=0 name
  command -v flock > /dev/null || not_here "this machine has no flock (package util-linux)"
  PREFIX=${1:-$("$here/install-servers.sh" --where)}
  mkdir -p "$PREFIX"; PREFIX=$(cd "$PREFIX" && pwd -P)
  case $PREFIX in *[[:space:]:]*) log "PREFIX may not have spaces or colons in it: $PREFIX"; exit 2 ;; esac
  exec 9> "$PREFIX/.emulators.lock"        # several test runs may start at once
  flock -n 9 || { log "another run is installing into $PREFIX: waiting for it"; flock 9; }
  for name in moto ministack; do install "$name" || failed=1; done
  paths > "$PREFIX/emulators.env.new"; mv "$PREFIX/emulators.env.new" "$PREFIX/emulators.env"
  cat "$PREFIX/emulators.env"
  exit $failed
}

main "$@"

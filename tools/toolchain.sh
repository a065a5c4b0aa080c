#!/usr/bin/env bash
# toolchain.sh: cargo and a C compiler (for SQLite and the cryptography) must be there before anything is built.
# Root on a machine with apt gets the compiler installed; everybody else is told what to ask for.
# Exit: 0 both are there, 2 not.
set -euo pipefail

log() { echo "toolchain: $*" >&2; }

install_compiler() {
  log "no C compiler: installing build-essential"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update >&2 || true           # one broken third-party repository need not stop it
  apt-get -qq install -y --no-install-recommends build-essential >&2
}

command -v cargo > /dev/null || { log "there is no cargo: install Rust (https://rustup.rs), then try again"; exit 2; }
command -v cc > /dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then install_compiler; fi
command -v cc > /dev/null || {
  log "there is no C compiler (cc), and only root can install it. Ask for:  sudo apt-get install build-essential"
  exit 2
}

#!/usr/bin/env bash
# servers.sh [--find]: the servers for the rehearsal and the tests, as NAME=path lines that a shell can read.
#
# In this order, the first that is enough (two PostgreSQL versions, PgBouncer and HAProxy):
#   1. what the environment names: PG15_BIN ... PG18_BIN (folders with initdb and postgres),
#      PGBOUNCER_NEW, PGBOUNCER_OLD, HAPROXY_NEW, HAPROXY_OLD (programs);
#   2. that and the machine's own servers;
#   3. that and what tools/install-servers.sh puts into a cache folder, which is skipped with --find.
# And by the same ways MySQL and MariaDB (MYSQL97_BASEDIR, MARIADB1011_BASEDIR: folders with bin and sbin), tmux
# (TMUX_PROGRAM), Prometheus (PROMETHEUS), mydumper (MYDUMPER), and the AWS emulators (MOTO_SERVER, MINISTACK; see tools/install-emulators.sh), for
# the tests that need them. Without one of these it goes on, and says so.
# With less than enough but with a PostgreSQL, a PgBouncer and a HAProxy it goes on, and says so.
# Exit: 0 usable, 1 the installation failed, 2 this machine cannot have them.
set -euo pipefail

readonly OLDEST=15 NEWEST=18                # what the program supports
readonly PROGRAMS="PGBOUNCER_NEW PGBOUNCER_OLD HAPROXY_NEW HAPROXY_OLD"
readonly OTHERS="REDIS_SERVER REDIS_CLI TMUX_PROGRAM PT PROMETHEUS MYDUMPER MOTO_SERVER MINISTACK"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
declare -A found=()

log() { echo "servers: $*" >&2; }

keep() { # name, path: the first that is found counts
  [ -n "${found[$1]:-}" ] || found[$1]=$2
}

# The server below a basedir, wherever its packagers put it.
server_in() { # basedir, program
  local folder
  for folder in sbin libexec bin; do
    if [ -x "$1/$folder/$2" ]; then echo "$1/$folder/$2"; return; fi
  done
  return 1
}

# MariaDB's packages may call its server mysqld too. Prints the version without points: 97, 1011.
basedir_version() { # MYSQL or MARIADB, basedir
  local server text
  if [ "$1" = MYSQL ]; then server=$(server_in "$2" mysqld); else server=$(server_in "$2" mariadbd); fi || return 1
  text=$("$server" --version 2>/dev/null) || return 1
  if [ "$1" = MYSQL ] && [[ $text == *MariaDB* ]]; then return 1; fi
  sed -nE 's/.* Ver ([0-9]+)\.([0-9]+).*/\1\2/p' <<< "$text"
}

is_postgres() { [ -x "$1/postgres" ] && [ -x "$1/initdb" ] && [ -x "$1/pg_dump" ]; }

from_environment() {
  local name
  for name in $(compgen -v PG | grep -E '^PG[0-9]+_BIN$'); do
    [ -n "${!name}" ] || continue
    is_postgres "${!name}" || { log "$name=${!name} is not a folder with postgres, initdb and pg_dump"; exit 2; }
    keep "$name" "${!name}"
  done
  for name in $(compgen -v | grep -E '^(MYSQL|MARIADB)[0-9]+_BASEDIR$'); do
    [ -n "${!name}" ] || continue
    basedir_version "${name%%[0-9]*}" "${!name}" > /dev/null || { log "$name=${!name} is not a folder with bin or sbin and its server"; exit 2; }
    keep "$name" "${!name}"
  done
  for name in $PROGRAMS; do
    [ -n "${!name:-}" ] || continue
    [ -x "${!name}" ] || { log "$name=${!name} is not a program"; exit 2; }
    keep "$name" "${!name}"
  done
  for name in $OTHERS; do
    [ -z "${!name:-}" ] || keep "$name" "${!name}"
  done
}

# Where Debian and Ubuntu, Red Hat and SUSE, Homebrew, FreeBSD, and then anybody put them.
from_host() {
  local version dir program path
  for (( version = NEWEST; version >= OLDEST; version-- )); do
    for dir in {/usr/lib/postgresql/,/usr/pgsql-,/usr/lib/postgresql,/opt/homebrew/opt/postgresql@,/usr/local/opt/postgresql@}"$version"/bin; do
      if is_postgres "$dir"; then keep "PG${version}_BIN" "$dir"; fi
    done
  done
  if dir=$(pg_config --bindir 2>/dev/null) && is_postgres "$dir"; then
    version=$("$dir/postgres" --version | grep -oE '[0-9]+' | head -n 1)
    if (( version >= OLDEST && version <= NEWEST )); then keep "PG${version}_BIN" "$dir"; fi
  fi
  for program in pgbouncer haproxy; do
    if path=$(PATH=$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin command -v "$program"); then
      keep "${program^^}_NEW" "$path"
      keep "${program^^}_OLD" "$path"
    fi
  done
}

from_installation() {
  local line
  while IFS= read -r line; do
    [ -n "$line" ] || continue
    # The lines are quoted for a shell.
    eval "keep ${line%%=*} ${line#*=}"
  done
}

has() { printf '%s\n' "${!found[@]}" | grep -qE "^$1[0-9]+_BASEDIR$"; } # MYSQL or MARIADB

basedirs_from_host() {
  local kind dir version
  for kind in MYSQL MARIADB; do
    for dir in /usr /usr/local /usr/local/mysql /opt/homebrew /opt/homebrew/opt/{mysql,mariadb}; do
      if version=$(basedir_version "$kind" "$dir") && [ -n "$version" ]; then keep "$kind${version}_BASEDIR" "$dir"; fi
    done
  done
}

# A machine without them goes on: the rehearsal of PostgreSQL needs neither.
find_basedirs() { # [--find]
  local groups=''
  has MYSQL && has MARIADB && return
  basedirs_from_host
  has MYSQL || groups+=' mysql'
  has MARIADB || groups+=' mariadb'
  [ -n "$groups" ] || return 0
  if [ "${1:-}" != --find ]; then
    from_installation <<< "$(GROUPS_WANTED=$groups "$here/install-servers.sh" | grep -E '^(MYSQL|MARIADB)[0-9]+_BASEDIR=' || true)"
  fi
  has MYSQL || log "NOTE: there is no MySQL, which its rehearsal and its tests need"
  has MARIADB || log "NOTE: there is no MariaDB, which its rehearsal and its tests need"
}

# What some tests want and nothing else does, so that a machine without it goes on, and the test says what is missing.
find_program() { # name, program, what it is for, [--find]
  local path
  if path=$(command -v "$2"); then keep "$1" "$path"; fi
  if [ -z "${found[$1]:-}" ] && [ "${4:-}" != --find ]; then
    path=$(GROUPS_WANTED=$2 "$here/install-servers.sh" | sed -n "s/^$1=//p") || true
    if [ -n "$path" ]; then keep "$1" "$path"; else log "NOTE: there is no $2, which $3 need"; fi
  fi
}

find_emulators() { # [--find]
  if [ -n "${found[MOTO_SERVER]:-}" ] && [ -n "${found[MINISTACK]:-}" ]; then return; fi
  if [ "${1:-}" = --find ]; then return; fi
  from_installation < <("$here/install-emulators.sh")
  [ -n "${found[MOTO_SERVER]:-}" ] && [ -n "${found[MINISTACK]:-}" ] ||
    log "NOTE: the AWS emulators are not there, which the tests and the rehearsal of AWS need"
}

versions() { printf '%s\n' "${!found[@]}" | sed -nE 's/^PG([0-9]+)_BIN$/\1/p' | sort -n; }

have_proxies() {
  [ -n "${found[PGBOUNCER_NEW]:-}${found[PGBOUNCER_OLD]:-}" ] && [ -n "${found[HAPROXY_NEW]:-}${found[HAPROXY_OLD]:-}" ]
}

is_enough() { (( $(versions | wc -l) >= 2 )) && have_proxies; }

is_usable() { [ -n "$(versions)" ] && have_proxies; }

missing() {
  [ -n "$(versions)" ] || printf ' PostgreSQL %s to %s' "$OLDEST" "$NEWEST"
  [ -n "${found[PGBOUNCER_NEW]:-}${found[PGBOUNCER_OLD]:-}" ] || printf ' PgBouncer'
  [ -n "${found[HAPROXY_NEW]:-}${found[HAPROXY_OLD]:-}" ] || printf ' HAProxy'
}

# A proxy that is there in one version only stands in for the other.
fill_in() {
  local kind
  for kind in PGBOUNCER HAPROXY; do
    [ -z "${found[${kind}_NEW]:-}" ] || keep "${kind}_OLD" "${found[${kind}_NEW]}"
    [ -z "${found[${kind}_OLD]:-}" ] || keep "${kind}_NEW" "${found[${kind}_OLD]}"
  done
  found[PG_NEWEST_BIN]=${found[PG$(versions | tail -n 1)_BIN]}
}

print() {
  local name
  for name in $(printf '%s\n' "${!found[@]}" | sort); do printf '%s=%q\n' "$name" "${found[$name]}"; done
}

main() {
  local status=0 installed
  from_environment
  if ! is_enough; then
    local -A named=(); local name          # when the host's own are too few, the installed ones go before them
    for name in "${!found[@]}"; do named[$name]=${found[$name]}; done
    from_host
    if ! is_enough && [ "${1:-}" != --find ]; then
      installed=$("$here/install-servers.sh") || status=$?
      if [ $status = 0 ]; then
        found=(); for name in "${!named[@]}"; do found[$name]=${named[$name]}; done
        from_installation <<< "$installed"
        from_host
      fi
    fi
  fi
  is_usable || { log "not found:$(missing). Name them (PG15_BIN, PG18_BIN, PGBOUNCER_NEW, HAPROXY_NEW) or install them."; exit $(( status ? status : 2 )); }
  is_enough || log "NOTE: only PostgreSQL $(versions | paste -sd, -) is to be had, so the rehearsal moves between two servers of the same version"
  fill_in
  find_basedirs "$@"
  find_program TMUX_PROGRAM tmux "the tests of the terminal screen" "$@"
  find_program PROMETHEUS prometheus "the tests of its gate" "$@"
  find_program MYDUMPER mydumper "the tests of the parallel copy" "$@"
  find_emulators "$@"
  print
}

main "$@"

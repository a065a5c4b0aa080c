#!/usr/bin/env bash
# install-servers.sh [PREFIX]: real database servers and proxies for the rehearsal and the tests.
# install-servers.sh --where: prints the PREFIX that it would take, and does nothing.
#
# PREFIX defaults to $POINTSMAN_SERVERS, else $HOME/.cache/pointsman-servers, else (root whose home other users
# cannot enter, while the servers must not run as root) /var/cache/pointsman-servers.
#
# Takes them from Debian's own archive WITHOUT touching the host: no root, no dpkg database, no libc upgrade. For
# each group (a list of Debian suites of which the first that works is taken, and a list of packages) it
#   1. runs apt-get with a private state folder and an EMPTY dpkg status, so that the dependency closure is complete
#      (libc6 included);
#   2. downloads the closure with `apt-get download` (signature and hashes checked);
#   3. unpacks it with `dpkg-deb -x` into PREFIX/<group>;
#   4. lets patchelf name the group's own ld.so and libraries in every program there (DT_RPATH, not DT_RUNPATH, so
#      that plugins loaded by dlopen are covered as well).
# The programs are then ordinary programs: no wrapper, no LD_LIBRARY_PATH, no chroot. They work as root and as any
# user who can read PREFIX. PREFIX is baked in: to move it, run this script again with the new path.
# A group whose stamp matches its recipe is left alone, so that the second run takes no time and no network.
#
# Groups (`GROUPS_WANTED="new old mysql"` chooses; the default is "new pg17 old mysql mariadb"):
#   new      sid       the newest PostgreSQL there, PgBouncer, HAProxy (trixie's, with a note, when sid is broken)
#   pg17     trixie    PostgreSQL 17
#   old      bookworm  PostgreSQL 15, PgBouncer 1.18, HAProxy 2.6
#   mysql    sid       MySQL
#   mariadb  bookworm  MariaDB 10.11
#   extra    bookworm  Redis
#   tmux     bookworm  tmux, for the tests of the terminal screen
#   prometheus bookworm  Prometheus, for the tests of its gate
#   mydumper sid       mydumper, for the tests of the parallel copy
#   pt       sid       Percona Toolkit with its own perl
#
# Environment: DEBIAN_MIRROR, DEBIAN_SECURITY and DEBIAN_KEYRING override where packages come from and what proves
# that they are Debian's. Without them the host's apt is asked; on Ubuntu both come from packages of its own archive.
# Needs apt-get, dpkg-deb and flock on amd64: Debian or Ubuntu.
# Prints, and writes to PREFIX/paths.env, NAME=path lines. Exit: 0 done, 1 nothing could be installed, 2 not here.
set -euo pipefail
umask 022

readonly RECIPE=1                        # raise to force a re-install
readonly RETRY_NEWER_AFTER_DAYS=1        # how long a fallback suite is good enough
readonly LIBDIRS="usr/lib/x86_64-linux-gnu lib/x86_64-linux-gnu"
# Of the closure: libraries only, and no libraries that only matter to a booted system.
readonly KEEP_RE='^(lib.*|zlib1g)$'
readonly SKIP_RE='^(libc-bin|libc-l10n|libdebconfclient0|libsystemd-shared|libc-gconv.*|libpam-modules.*|libsemanage.*|libsepol.*|libllvm.*|libz3-4|libproc2.*|libtext-.*|libjson-perl|libpython3.*|libdebuginfod.*|libsource-highlight.*)$'

log() { echo "install-servers: $*" >&2; }

not_here() { # reason
  log "$1"
  cat >&2 <<'HELP'
install-servers: the other ways to give the rehearsal and the tests their servers:
  - install two PostgreSQL versions between 15 and 18, PgBouncer, HAProxy, MySQL and MariaDB with this machine's
    package manager; tools/servers.sh finds them in the usual places, or name them:
        export PG15_BIN=/path/to/postgresql-15/bin PG18_BIN=/path/to/postgresql-18/bin
        export PGBOUNCER_NEW=/path/to/pgbouncer HAPROXY_NEW=/path/to/haproxy
        export MYSQL97_BASEDIR=/path/to/mysql MARIADB1011_BASEDIR=/path/to/mariadb
  - run them with Docker Compose, and point the end-to-end tests at them:
        docker compose -f docker-compose.test.yml up -d
        export POINTSMAN_TEST_SOURCE_URL=... POINTSMAN_TEST_TARGET_URL=...
        export POINTSMAN_TEST_POOL_ADMIN_URL=... POINTSMAN_TEST_POOL_INI=...
    The values stand at the top of docker-compose.test.yml.
HELP
  exit 2
}

# A group's suites, in the order to try them, then its packages. `postgresql-newest` is looked up in the suite.
recipe() { # group
  case $1 in
    patchelf) echo "trixie sid bookworm : patchelf" ;;
    new)      echo "sid trixie : postgresql-newest pgbouncer haproxy" ;;
    pg17)     echo "trixie : postgresql-17 postgresql-client-17" ;;
    old)      echo "bookworm : postgresql-15 postgresql-client-15 pgbouncer haproxy" ;;
    mysql)    echo "sid : mysql-server-core mysql-client-core" ;;
    mariadb)  echo "bookworm : mariadb-server-core mariadb-client-core mariadb-client" ;;
    extra)    echo "bookworm : redis-server redis-tools" ;;
    tmux)     echo "bookworm : tmux" ;;
    prometheus) echo "bookworm : prometheus" ;;
    mydumper) echo "sid bookworm : mydumper" ;;
    pt)       echo "sid : percona-toolkit perl libdbd-mysql-perl libterm-readkey-perl" ;;
    *) log "there is no group '$1'; there are: new pg17 old mysql mariadb extra tmux prometheus mydumper pt"; exit 2 ;;
  esac
}

default_prefix() {
  local mode
  if [ "$(id -u)" = 0 ]; then
    mode=$(stat -c %a "${HOME:-/root}" 2>/dev/null || echo 0)
    if (( mode % 2 == 0 )); then echo /var/cache/pointsman-servers; return; fi
  fi
  echo "${XDG_CACHE_HOME:-${HOME:?HOME is not set: name a folder, install-servers.sh PREFIX}/.cache}/pointsman-servers"
}

# ---- where Debian's packages come from ----

# The host's own repositories as "label URI". Labels are known only after an `apt-get update`.
host_repositories() {
  # shellcheck disable=SC2016  # apt's variables, not the shell's
  apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sed 's,/*$,,' | sort -u || true
}

first_uri() { # label, pattern of the URI where no label is known; reads "label URI" lines
  awk -v label="$1" -v pattern="$2" '
    $1 == label && !exact { exact = $2 }
    NF == 1 && $1 ~ pattern && !guess { guess = $1 }
    END { print exact ? exact : guess }'
}

choose_mirror() {
  local repositories
  repositories=$(host_repositories)
  MIRROR=${DEBIAN_MIRROR:-$(first_uri Debian '^[a-z]+://[^/]*debian[^/]*/debian$' <<< "$repositories")}
  SECURITY=${DEBIAN_SECURITY:-$(first_uri Debian-Security 'debian-security$' <<< "$repositories")}
  [ -n "$MIRROR" ] || MIRROR=$(mirror_of_templates)
  [ -n "$MIRROR" ] && return
  not_here "this machine's apt names no Debian archive (Ubuntu's is another one), and its package
python-apt-common, which does, could not be had (has \`apt-get update\` ever run here?). Nothing was downloaded. Or name an archive:
    DEBIAN_MIRROR=URL make servers      (and DEBIAN_SECURITY=URL for its security updates)"
}

# Ubuntu's own signed archive has a list of other distributions' archives as a package, which many machines have.
mirror_of_templates() {
  local file mirror
  file=$(own_file python-apt-common usr/share/python-apt/templates/Debian.info) || return 0
  mirror=$(sed -n 's,^BaseURI: *\(.*[^/]\)/*$,\1,p' "$file" | head -n 1)
  # What is fetched is signed: a machine without authorities for https takes http.
  [ -e /etc/ssl/certs/ca-certificates.crt ] || mirror=${mirror/#https:/http:}
  [ -z "$mirror" ] || log "this machine's apt names no Debian archive: taking $mirror, which python-apt-common names"
  echo "$mirror"
}

# Path of the first of a package's files that is there: on this machine, or fetched from its own archive.
own_file() { # package, file...
  local dir=$PREFIX/own/$1 package=$1 file
  shift
  for file in "${@/#//}"; do if [ -r "$file" ]; then echo "$file"; return; fi; done
  if [ ! -d "$dir/usr" ]; then
    log "fetching the package $package from this machine's own archive"
    rm -rf "$dir"; mkdir -p "$dir/deb"
    ( cd "$dir/deb" && apt-get -qq -o APT::Sandbox::User= download "$package" && dpkg-deb -x ./*.deb .. ) >&2 || return 1
  fi
  for file in "${@/#/$dir/}"; do if [ -r "$file" ]; then echo "$file"; return; fi; done
  return 1
}

# Ubuntu does not have Debian's keys at hand, but its own signed archive has them as a package.
choose_keyring() {
  KEYRING=${DEBIAN_KEYRING:-}
  if [ -n "$KEYRING" ]; then
    [ -r "$KEYRING" ] || not_here "DEBIAN_KEYRING names $KEYRING, which cannot be read"
    return
  fi
  if KEYRING=$(own_file debian-archive-keyring usr/share/keyrings/debian-archive-keyring.{gpg,pgp}); then return; fi
  not_here "Debian's packages cannot be verified without its keys, so nothing was downloaded. Install them first:
    sudo apt-get update && sudo apt-get install debian-archive-keyring      (on Ubuntu it is in universe)"
}

# ---- one suite: a private apt ----

use_suite() { # suite
  local suite=$1 a=$PREFIX/.apt/$1
  export APT_CONFIG=$a/apt.conf
  LATE=$a/late.conf
  if [ -f "$a/read" ]; then return; fi
  mkdir -p "$a"/{lists/partial,cache/archives/partial,state,empty}; : > "$a/status"
  { echo "deb [arch=amd64 signed-by=$KEYRING target=Packages] $MIRROR $suite main"
    if [ "$suite" != sid ] && [ -n "$SECURITY" ]; then
      echo "deb [arch=amd64 signed-by=$KEYRING target=Packages] $SECURITY $suite-security main"
    fi
  } > "$a/sources.list"
  cat > "$a/apt.conf" <<CONF
Dir::State "$a/state";
Dir::State::lists "$a/lists";
Dir::State::status "$a/status";
Dir::Cache "$a/cache";
Dir::Etc::sourcelist "$a/sources.list";
Dir::Etc::sourceparts "$a/empty";
Dir::Etc::preferences "$a/empty/none";
Dir::Etc::preferencesparts "$a/empty";
APT::Sandbox::User "";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::Check-Valid-Until "false";
CONF
  # Read last: keeps the host's proxy settings, drops its hooks (they clean /var/cache/apt).
  printf '#clear %s;\n' APT::Update::{Pre-Invoke,Post-Invoke,Post-Invoke-Success} > "$LATE"
  log "reading the package index of $suite"
  apt-get -c "$LATE" -qq update >&2
  : > "$a/read"
}

# The newest PostgreSQL of the suite, and its clients.
newest_postgresql() {
  local name
  name=$(apt-cache pkgnames postgresql- | grep -E '^postgresql-[0-9]+$' | sort -V | tail -n 1)
  echo "$name ${name/postgresql-/postgresql-client-}"
}

# ---- one group ----

fetch_group() { # group, suite, package...
  local g=$1 suite=$2 start=$SECONDS dir=$PREFIX/$1.new work=$PREFIX/.apt/group-$1 deb
  local -a packages=("${@:3}")
  use_suite "$suite"
  if [ "${packages[0]}" = postgresql-newest ]; then
    read -r -a packages <<< "$(newest_postgresql) ${packages[*]:1}"
  fi
  rm -rf "$work" "$dir"; mkdir -p "$work/debs" "$dir"
  apt-get install -qq --print-uris --no-install-recommends "${packages[@]}" |
    awk '{print $2}' | sed 's/_.*//' | sort -u > "$work/closure"
  { grep -E "$KEEP_RE" "$work/closure" | grep -Ev "$SKIP_RE" || true
    if [ "$g" = pt ]; then grep -E '^perl' "$work/closure"; fi
    printf '%s\n' "${packages[@]}"
  } | sort -u > "$work/wanted"
  log "$g: downloading $(wc -l < "$work/wanted") packages of $suite"
  ( cd "$work/debs" && xargs apt-get -qq download < "$work/wanted" ) >&2
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$dir"; done
  ( cd "$work/debs" && printf '%s\n' *.deb ) > "$dir/.packages"
  rm -rf "$work"
  trim "$dir"
  rm -rf "${PREFIX:?}/$g"; mv "$dir" "$PREFIX/$g"
  case $g in
    patchelf)   wrap patchelf usr/bin/patchelf patchelf ;;
    prometheus) wrap prometheus usr/bin/prometheus bin/prometheus ;;
    *)          link_group "$g" ;;
  esac
  log "$g: ready in $((SECONDS - start)) s ($(ls_servers "$g"))"
}

trim() { # folder: drop what no server needs to run
  ( cd "$1"
    rm -rf etc var run usr/share/{doc,man,locale,info,lintian,bug,perl/*/pod,zsh,bash-completion}
    rm -rf usr/lib/postgresql/*/lib/{bitcode,llvmjit*} usr/bin/pt-{k8s,mongodb,pg}-* usr/lib/systemd lib/systemd )
}

ls_servers() { # group: the packages that are servers, with their versions, for people
  sed -nE 's/^(postgresql-[0-9]+|pgbouncer|haproxy|mysql-server-core|mariadb-server-core|redis-server|tmux|prometheus|mydumper|patchelf|percona-toolkit)_([^_]+)_.*/\1 \2/p' \
    "$PREFIX/$1/.packages" | sed 's/%3a/:/; s/-[^-]*$//' | paste -sd, - | sed 's/,/, /g'
}

loader_of() { # group folder
  local libdir
  for libdir in $LIBDIRS; do
    if [ -e "$1/$libdir/ld-linux-x86-64.so.2" ]; then readlink -e "$1/$libdir/ld-linux-x86-64.so.2"; return; fi
  done
  log "$1: no ld.so in it"; return 1
}

# patchelf can't patch the libraries it runs on, and what it does to a Go program crashes: these are started through the
# group's own ld.so instead.
wrap() { # group, program below it, wrapper below it
  local dir=$PREFIX/$1
  mkdir -p "$(dirname "$dir/$3")"
  cat > "$dir/$3" <<RUN
#!/bin/sh
exec "$(loader_of "$dir")" --library-path "$dir/usr/lib/x86_64-linux-gnu:$dir/lib/x86_64-linux-gnu" "$dir/$2" "\$@"
RUN
  chmod +x "$dir/$3"
}

# Makes every ELF program of the group use the group's own ld.so and libraries.
link_group() { # group
  local dir=$PREFIX/$1 loader file rpath
  loader=$(loader_of "$dir")
  rpath=$dir/usr/lib/x86_64-linux-gnu:$dir/lib/x86_64-linux-gnu
  find "$dir/usr/bin" "$dir/usr/sbin" "$dir"/usr/lib/postgresql/*/bin -type f -perm -u+x 2>/dev/null |
  while read -r file; do
    [ "$(head -c4 "$file" | tail -c3 | tr -d '\0')" = ELF ] || continue
    "$PREFIX/patchelf/patchelf" --set-interpreter "$loader" --force-rpath --set-rpath "$rpath" "$file" 2>/dev/null ||
      log "$1: not patched: $file"
  done || true
  for file in "$dir"/usr/lib/postgresql/*/bin/postgres "$dir"/usr/sbin/{pgbouncer,mysqld,mariadbd}; do
    [ ! -e "$file" ] || "$file" --version > /dev/null || { log "$1: $file does not run here"; return 1; }
  done
}

# A stamp holds the recipe, then the suite that was used. A fallback suite is good enough for a day.
is_current() { # group, recipe
  local stamp=$PREFIX/$1/.stamp want=$2 suite
  [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$want" ] || return 1
  suite=$(sed -n 2p "$stamp")
  [[ $want == *" $suite "*":"* ]] || return 1
  [[ $want == "$RECIPE $suite "* ]] || [ -z "$(find "$stamp" -mtime "+$((RETRY_NEWER_AFTER_DAYS - 1))")" ]
}

# Adds the group to FAILED instead of returning a status: calling it as `install_group || ...` would switch `set -e`
# off in everything below.
install_group() { # group: from the first of its suites that works
  local g=$1 line want suites packages suite status
  line=$(recipe "$g"); want="$RECIPE $line $PREFIX"
  suites=${line%% : *}; packages=${line##* : }
  if is_current "$g" "$want"; then return 0; fi
  prepare
  for suite in $suites; do
    set +e                                 # for the same reason not `if ( ... )`
    # shellcheck disable=SC2086
    ( set -e; fetch_group "$g" "$suite" $packages ); status=$?
    set -e
    if [ $status = 0 ]; then
      printf '%s\n%s\n' "$want" "$suite" > "$PREFIX/$g/.stamp"
      [ "$suite" = "${suites%% *}" ] || log "$g: NOTE: ${suites%% *} could not be used, so these are $suite's older versions"
      return 0
    fi
    log "$g: $suite could not be used (apt's message stands above)"
  done
  rm -rf "${PREFIX:?}/$g.new"
  FAILED+=" $g"
}

# Once, and only when there is something to do: with nothing to do the network and apt are never asked.
prepare() {
  if [ -n "${MIRROR:-}" ]; then return; fi
  [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || not_here "servers can be installed on Linux on amd64 only, and this is $(uname -s) on $(uname -m)"
  local program
  for program in apt-get apt-cache dpkg-deb xargs awk; do
    command -v "$program" > /dev/null || not_here "this machine has no $program, so Debian's packages cannot be fetched"
  done
  rm -rf "$PREFIX/.apt"; trap 'rm -rf "$PREFIX/.apt"' EXIT
  choose_mirror
  choose_keyring
  warn_if_closed
}

# The servers refuse root, so root starts them as nobody, who must be able to reach them.
warn_if_closed() {
  local dir=$PREFIX
  [ "$(id -u)" = 0 ] || return 0
  while [ "$dir" != / ]; do
    (( $(stat -c %a "$dir") % 2 )) || log "WARNING: other users cannot enter $dir, and the servers do not run as root: choose another PREFIX"
    dir=$(dirname "$dir")
  done
}

write_pt() { # the pt-* scripts need their own perl and its modules
  local version
  mkdir -p "$PREFIX/bin"
  version=$(basename "$(find "$PREFIX/pt/usr/share/perl" -maxdepth 1 -name '5.*.*' | head -n 1)")
  cat > "$PREFIX/bin/pt" <<PT
#!/bin/sh
# pt TOOL ARGS...: run a Percona Toolkit program (pt-table-checksum, ...) with its own perl
s=$PREFIX/pt/usr x=$PREFIX/pt/usr/lib/x86_64-linux-gnu
export PERL5LIB=\$s/share/perl5:\$x/perl5/${version%.*}:\$s/share/perl/$version:\$x/perl/$version:\$x/perl-base
tool=\$1; shift
exec "\$s/bin/perl" "\$s/bin/\$tool" "\$@"
PT
  chmod +x "$PREFIX/bin/pt"
}

# NAME=path of everything that is there. Of one version in two groups the first counts.
paths() {
  local g dir version newest=0 seen=' ' newest_bin=
  for g in new pg17 old; do
    for dir in "$PREFIX/$g"/usr/lib/postgresql/*/bin; do
      [ -x "$dir/postgres" ] || continue
      version=$(basename "$(dirname "$dir")")
      case $seen in *" $version "*) continue ;; esac
      seen+="$version "
      printf 'PG%s_BIN=%q\n' "$version" "$dir"
      if (( version > newest )); then newest=$version newest_bin=$dir; fi
    done
  done
  [ -z "$newest_bin" ] || printf 'PG_NEWEST_BIN=%q\n' "$newest_bin"
  path_lines PGBOUNCER_NEW new/usr/sbin/pgbouncer HAPROXY_NEW new/usr/sbin/haproxy \
    PGBOUNCER_OLD old/usr/sbin/pgbouncer HAPROXY_OLD old/usr/sbin/haproxy \
    REDIS_SERVER extra/usr/bin/redis-server REDIS_CLI extra/usr/bin/redis-cli TMUX_PROGRAM tmux/usr/bin/tmux PT bin/pt \
    PROMETHEUS prometheus/bin/prometheus MYDUMPER mydumper/usr/bin/mydumper
  basedir_line MYSQL "$PREFIX/mysql/usr" sbin/mysqld
  basedir_line MARIADB "$PREFIX/mariadb/usr" sbin/mariadbd
}

basedir_line() { # kind, basedir, server below it: MYSQL97_BASEDIR=... for 9.7
  local version
  [ -x "$2/$3" ] || return 0
  version=$("$2/$3" --version | sed -nE 's/.* Ver ([0-9]+)\.([0-9]+).*/\1\2/p')
  [ -z "$version" ] || printf '%s%s_BASEDIR=%q\n' "$1" "$version" "$2"
}

path_lines() { # (name, path below PREFIX)...
  while [ $# -gt 0 ]; do
    [ ! -x "$PREFIX/$2" ] || printf '%s=%q\n' "$1" "$PREFIX/$2"
    shift 2
  done
}

main() {
  local g
  FAILED=''
  if [ "${1:-}" = --where ]; then echo "${POINTSMAN_SERVERS:-$(default_prefix)}"; return; fi
  command -v flock > /dev/null || not_here "this machine has no flock (package util-linux)"
  PREFIX=${1:-${POINTSMAN_SERVERS:-$(default_prefix)}}
  mkdir -p "$PREFIX"; PREFIX=$(cd "$PREFIX" && pwd -P)
  case $PREFIX in *[[:space:]:]*) log "PREFIX may not have spaces or colons in it: $PREFIX"; exit 2 ;; esac
  exec 9> "$PREFIX/.lock"                  # several test runs may start at once
  flock -n 9 || { log "another run is installing into $PREFIX: waiting for it"; flock 9; }
  for g in patchelf ${GROUPS_WANTED:-new pg17 old mysql mariadb}; do install_group "$g"; done
  if [ -d "$PREFIX/pt" ] && [ ! -x "$PREFIX/bin/pt" ]; then write_pt; fi
  paths > "$PREFIX/paths.env.new"; mv "$PREFIX/paths.env.new" "$PREFIX/paths.env"
  if [ -n "$FAILED" ]; then
    grep -q '^PG_NEWEST_BIN=' "$PREFIX/paths.env" || { log "nothing could be installed:$FAILED failed. Is the archive reachable? (DEBIAN_MIRROR chooses another)"; exit 1; }
    log "NOTE: these groups could not be installed:$FAILED. Going on with what is there."
  fi
  cat "$PREFIX/paths.env"
}

main "$@"

#!/usr/bin/env bash
# A private RabbitMQ node or PostgreSQL cluster in a folder of its own, on free ports of loopback.
#
# Usage: tests/services.sh rabbitmq|rabbitmq4|postgres FOLDER VERB
#
#   create        makes FOLDER, starts the service and waits until it answers
#   create durable
#                 postgres only: the same, and what it commits reaches the disk, as when it serves;
#                 takes a quarter of the machine's memory and up to 8 GB of log
#   create OTHER  RabbitMQ only: the same, as one more node of the cluster that runs in folder OTHER
#   url           prints where it is
#   stop, start   ends it in order; starts it again on the same ports with the same data
#   restart       both
#   kill          ends it as a crash would
#   ctl ARGS…     RabbitMQ only: rabbitmqctl for this node
#   admin         postgres only: prints the URL of its superuser
#   database NAME [OPTIONS…]
#                 postgres only: makes an empty database of this name, in place of one that was there, and
#                 prints two URLs, each on a line: that of the role that owns it and that of the one Loa
#                 runs as, with the rights that docs/security.md gives them; OPTIONS are those of
#                 CREATE DATABASE
#   remove        ends it and removes FOLDER
#
# `create` also writes FOLDER/control, which takes the verbs alone: what a test calls to disturb its
# service. Run by root, a service runs as the user of its Debian package, else as the caller.
#
# On RabbitMQ the user `loa-tests` may do what docs/security.md lets Loa do, and `loa-tests-shop` what it
# lets a publisher do, with names that begin with `loa-test` or `journey`; the password of both is
# `canary-broker`. What tests do themselves they do as `guest`.
#
# `rabbitmq` is the installed RabbitMQ (3.10 on Debian 12). `rabbitmq4` is that of Debian 13 in a
# folder of its own, which is fetched once: TEST_RABBITMQ4_FOLDER, by default ~/.cache/loa-rabbitmq4.
# That needs root, debootstrap and a mirror of Debian.

set -euo pipefail

service=${1:?rabbitmq, rabbitmq4 or postgres} folder=${2:?a folder} verb=${3:?a verb}
shift 3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
family=${service%4}

say() { echo "$service: $*" >&2; }

# A port of loopback that nobody listens on, below those the kernel hands out itself.
free_port() {
  local port
  while port=$(shuf -i 20000-32000 -n 1); do
    (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null || break
  done
  echo "$port"
}

as_owner() {
  if [ "$(id -u)" = 0 ]; then runuser -u "$service" -- "$@"; else "$@"; fi
}

# Waits up to $1 seconds until the rest of the line succeeds.
within() {
  local tries=$(($1 * 10))
  shift
  until "$@" 2>/dev/null; do
    [ $((tries -= 1)) -gt 0 ] || return 1
    sleep 0.1
  done
}

# Whether the process whose id stands in file $1 runs. One that has ended but is not yet reaped, as
# happens in a container without a real init, does not.
is_alive() {
  local id state
  [ -s "$1" ] && id=$(cat "$1") && kill -0 "$id" 2>/dev/null || return 1
  ! state=$(cut -d ' ' -f 3 "/proc/$id/stat" 2>/dev/null) || [ "$state" != Z ]
}

make_folder() {
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
  printf '#!/bin/sh\nexec %q %q %q "$@"\n' "$here/services.sh" "$service" "$folder" >"$folder/control"
  chmod +x "$folder/control"
}

give_folder() {
  local owner=$service:
  [ "$service" != rabbitmq4 ] || owner=$(sed -n 's/^rabbitmq:[^:]*:\([0-9]*:[0-9]*\):.*/\1/p' "$root/etc/passwd")
  [ "$(id -u)" != 0 ] || chown -R "$owner" "$folder"
}

# --- RabbitMQ -------------------------------------------------------------------------------------

rabbitmq_create() {
  local other=${1:+$(cd "$1" && pwd)}
  [ "$service" != rabbitmq4 ] || rabbitmq4_fetch
  make_folder
  cat >"$folder/ports" <<PORTS
port=$(free_port)
dist_port=$(free_port)
epmd_port=$(free_port)
PORTS
  if [ -n "$other" ]; then
    # Nodes of a cluster find one another by one port mapper, and know one another by the cookie.
    sed -n 's/^epmd_port=/&/p' "$other/ports" >>"$folder/ports"
    echo "seed=loa$(sed -n 's/^port=//p' "$other/ports")@localhost" >>"$folder/ports"
    cp -p "$other/.erlang.cookie" "$folder/"
  fi
  rabbitmq_ports
  cat >"$folder/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$port
log.console = false
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 1GB
raft.wal_max_size_bytes = 64000000
CONF
  mkdir "$folder/conf.d"
  give_folder
  rabbitmq_start
  if [ -n "$other" ]; then rabbitmq_join; else rabbitmq_rights; fi
}

# The users of tests, with the permissions that stand in the document.
rabbitmq_rights() {
  local names='(loa-test|journey)[a-z0-9.-]*' permissions
  mapfile -t permissions < <(document sh | grep -o "'^[^']*'" | tr -d "'" | sed "s/\^loa\\\\\./^$names\\\\./")
  [ ${#permissions[@]} = 6 ] || { say "docs/security.md gives no permissions of two users"; return 1; }
  rabbitmq_ctl -q add_user loa-tests-shop canary-broker &&
    rabbitmq_ctl -q set_permissions loa-tests-shop "${permissions[@]:3:3}" &&
    rabbitmq_ctl -q add_user loa-tests canary-broker &&
    rabbitmq_ctl -q set_permissions loa-tests "${permissions[@]:0:3}"
} >>"$folder/output" 2>&1

# What docs/security.md has as the commands of this kind.
document() {
  sed -n "/^\`\`\`$1\( declare\)\?\$/,/^\`\`\`\$/p" "$here/../docs/security.md" | sed '1d;$d'
}

rabbitmq_join() {
  rabbitmq_ctl stop_app && rabbitmq_ctl join_cluster "$seed" && rabbitmq_ctl start_app
} >>"$folder/output" 2>&1

rabbitmq_ports() { . "$folder/ports"; }

# The package's own scripts: its wrappers in /usr/sbin insist on root or the user rabbitmq.
rabbitmq_program() {
  local program=/usr/lib/rabbitmq/bin/$1 home=$folder
  shift
  [ "$service" != rabbitmq4 ] || home=/node
  local environment=(
    HOME="$home" LANG=C.UTF-8
    RABBITMQ_NODENAME="loa$port@localhost" RABBITMQ_DIST_PORT="$dist_port"
    RABBITMQ_CONF_ENV_FILE="$home/no-env.conf" RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf"
    RABBITMQ_CONFIG_FILES="$home/conf.d" RABBITMQ_ENABLED_PLUGINS_FILE="$home/plugins"
    RABBITMQ_MNESIA_BASE="$home/data" RABBITMQ_LOG_BASE="$home/log" RABBITMQ_PID_FILE="$home/pid"
    ERL_EPMD_PORT="$epmd_port" ERL_EPMD_ADDRESS=127.0.0.1
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
  )
  if [ "$service" = rabbitmq4 ]; then
    inside_debian13 "${environment[@]}" "$program" "$@"
    return
  fi
  [ -x "$program" ] || program=${program##*/}
  cd "$folder"
  as_owner env "${environment[@]}" "$program" "$@"
}

# --- RabbitMQ 4, out of Debian 13 -----------------------------------------------------------------

root=${TEST_RABBITMQ4_FOLDER:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/loa-rabbitmq4}

# Runs a command in the folder of Debian 13, where this node's folder is /node. What is mounted is
# seen by the command alone and gone when it ends.
inside_debian13() {
  root=$root folder=$folder unshare --mount --propagation private bash -c '
    mount --bind /proc "$root/proc" && mount --rbind /dev "$root/dev" &&
      mount --bind "$folder" "$root/node" && cd / &&
      exec chroot --userspec=rabbitmq:rabbitmq "$root" env --chdir=/node "$@"' inside "$@"
}

# Makes the folder of Debian 13 unless it is there; whole or not at all, and once.
rabbitmq4_fetch() {
  [ "$(id -u)" = 0 ] || { say "RabbitMQ 4 is run in a folder of Debian 13, which takes root"; return 1; }
  mkdir -p "$(dirname "$root")"
  exec 9>"$root.lock"
  flock 9
  [ ! -d "$root/node" ] || { exec 9>&-; return 0; }
  say "fetching Debian 13 with RabbitMQ 4 to $root (once, about a minute)"
  rm -rf "$root.part"
  rabbitmq4_build >"$root.log" 2>&1 9>&- || {
    say "it could not be fetched; the last words of $root.log:"
    tail -n 20 "$root.log" >&2
    return 1
  }
  mv "$root.part" "$root"
  exec 9>&-
}

rabbitmq4_build() {
  local mirror more=()
  mirror=$(sed -nE 's@^(URIs:|deb) +(\[[^]]*\] +)?(https?://[^ ]+/debian)/?( .*)?$@\3@p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1) || true
  [ -n "${http_proxy:-}" ] || { eval "$(apt-config shell http_proxy Acquire::http::Proxy)"; export http_proxy; }
  # By https, the apt inside needs to know whom to trust.
  [ "${mirror#https:}" = "$mirror" ] || more=(--include=ca-certificates)
  # Without a mirror of this machine's own, debootstrap takes Debian's.
  debootstrap --variant=minbase "${more[@]}" trixie "$root.part" ${mirror:+"$mirror"} || return
  printf '#!/bin/sh\nexit 101\n' >"$root.part/usr/sbin/policy-rc.d"
  chmod 755 "$root.part/usr/sbin/policy-rc.d"
  cp /etc/resolv.conf "$root.part/etc/resolv.conf"
  echo '127.0.0.1 localhost' >"$root.part/etc/hosts"
  chroot "$root.part" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends rabbitmq-server || return
  rm -rf "$root.part"/var/cache/apt/archives/*.deb "$root.part"/var/lib/apt/lists/*
  mkdir "$root.part/node"
}

# --- RabbitMQ, as it runs -------------------------------------------------------------------------

# A session of its own, so that Ctrl-C reaches ./test alone and the whole family can be ended.
rabbitmq_start() {
  export -f as_owner rabbitmq_program inside_debian13
  export service folder port dist_port epmd_port root
  setsid bash -c 'rabbitmq_program rabbitmq-server' </dev/null >"$folder/output" 2>&1 &
  echo $! >"$folder/session"
  within 90 rabbitmq_answers_or_died || true
  rabbitmq_answers || {
    say "the node did not start; its last words:"
    tail -n 20 "$folder/output" "$folder"/log/*.log >&2 || true
    return 1
  }
}

rabbitmq_answers() { (: </dev/tcp/127.0.0.1/"$port"); }
rabbitmq_answers_or_died() { rabbitmq_answers || rabbitmq_is_gone; }
rabbitmq_is_gone() { ! is_alive "$folder/session" && ! is_alive "$folder/pid"; }

rabbitmq_stop() {
  [ ! -s "$folder/pid" ] || kill -TERM "$(cat "$folder/pid")" 2>/dev/null || true
  within 30 rabbitmq_is_gone || rabbitmq_kill
  rm -f "$folder/pid" "$folder/session"
}

rabbitmq_kill() {
  [ -s "$folder/session" ] || return 0
  kill -KILL -- "-$(cat "$folder/session")" 2>/dev/null || true
  within 10 rabbitmq_is_gone
  rm -f "$folder/pid" "$folder/session"
}

# Erlang's port mapper outlives its node, and refuses to end while one is registered.
rabbitmq_remove() {
  rabbitmq_kill || say "the node could not be ended"
  # The first node of a cluster started it, and is to be removed last.
  [ -z "${seed:-}" ] || return 0
  within 10 rabbitmq_epmd_is_gone || say "epmd on port $epmd_port could not be ended"
}

rabbitmq_epmd_is_gone() {
  case $service in
    rabbitmq4) inside_debian13 ERL_EPMD_PORT="$epmd_port" epmd -kill >/dev/null || true ;;
    *) ERL_EPMD_PORT=$epmd_port epmd -kill >/dev/null || true ;;
  esac
  ! (: </dev/tcp/127.0.0.1/"$epmd_port")
}

rabbitmq_url() { echo "amqp://guest:guest@127.0.0.1:$port/%2f"; }

rabbitmq_ctl() { rabbitmq_program rabbitmqctl "$@"; }

# --- PostgreSQL -----------------------------------------------------------------------------------

postgres_create() { # [durable]
  make_folder
  [ "${1:-}" != durable ] || touch "$folder/durable"
  echo "port=$(free_port)" >"$folder/ports"
  postgres_ports
  give_folder
  postgres_program initdb -D "$folder/data" -A trust -U postgres --no-sync \
    --encoding=UTF8 --locale=C.UTF-8 >"$folder/output" 2>&1 || {
    say "the cluster could not be made:"
    cat "$folder/output" >&2
    return 1
  }
  postgres_start
  postgres_program psql -q -h "$folder" -p "$port" -U postgres postgres >>"$folder/output" 2>&1 <<'SQL'
CREATE ROLE loa LOGIN CREATEDB;
CREATE DATABASE loa OWNER loa;
SQL
}

# The document's own statements, with roles of the database's own and another password.
postgres_database() { # NAME [OPTIONS…]
  local name=$1
  shift
  {
    echo "SET client_min_messages = warning;"
    echo "DROP DATABASE IF EXISTS $name WITH (FORCE); DROP ROLE IF EXISTS ${name}_owner, ${name}_app;"
    document sql | sed "s/\bloa_/${name}_/g; s/\bloa\b/$name/g; s/'secret'/'canary-store'/
      s/^CREATE DATABASE [^;]*/& $*/"
  } | postgres_program psql -q -v ON_ERROR_STOP=1 -h "$folder" -p "$port" -U postgres postgres >&2 || return
  echo "postgres://${name}_owner:canary-store@127.0.0.1:$port/$name"
  echo "postgres://${name}_app:canary-store@127.0.0.1:$port/$name"
}

postgres_ports() { . "$folder/ports"; }

postgres_program() {
  local newest
  newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
  (cd "$folder" && as_owner env PATH="${newest:+$newest:}$PATH" "$@")
}

postgres_pg_ctl() { postgres_program pg_ctl -s -w -t 300 -D "$folder/data" "$@"; }

postgres_start() {
  local options="-c listen_addresses=127.0.0.1 -c port=$port -c max_connections=300"
  options+=" -c unix_socket_directories=$folder"
  if [ -e "$folder/durable" ]; then
    # As its manual advises where tables outgrow the 128 MB it takes by itself: a quarter of the
    # machine's memory, and checkpoints that are not made every few seconds while much is written.
    local memory
    memory=$(awk '/^MemTotal:/ { print int($2 / 1024 / 4) }' /proc/meminfo)
    options+=" -c shared_buffers=${memory}MB -c max_wal_size=8GB"
  else
    # No test pulls the plug of the machine: what is written need not reach the disk, which takes
    # minutes where it is slow and a hundred databases were made.
    options+=" -c fsync=off"
  fi
  postgres_pg_ctl -l "$folder/log" -o "$options" start </dev/null >>"$folder/output" 2>&1 || {
    say "the cluster did not start; its last words:"
    tail -n 20 "$folder/output" "$folder/log" >&2 || true
    return 1
  }
}

postgres_stop() { postgres_pg_ctl -m fast stop; }
postgres_kill() { postgres_pg_ctl -m immediate stop; }
postgres_remove() { [ ! -f "$folder/data/postmaster.pid" ] || postgres_kill; }
postgres_url() { echo "postgres://loa@127.0.0.1:$port/loa"; }
postgres_admin() { echo "postgres://postgres@127.0.0.1:$port/postgres"; }

# --------------------------------------------------------------------------------------------------

case $service in rabbitmq | rabbitmq4 | postgres) ;; *) say "no such service"; exit 2 ;; esac
[ "$verb" = create ] || [ ! -f "$folder/ports" ] || "${family}_ports"
case $verb in
  restart) "${family}_stop"; "${family}_start" ;;
  remove) [ ! -f "$folder/ports" ] || "${family}_remove"; rm -rf "$folder" ;;
  create | start | stop | kill | url | ctl | admin | database) "${family}_$verb" "$@" ;;
  *) say "no such verb: $verb"; exit 2 ;;
esac

#!/usr/bin/env bash
# A private RabbitMQ node or PostgreSQL cluster in a folder of its own, on free ports of loopback.
#
# Usage: tests/services.sh rabbitmq|postgres FOLDER VERB
#
#   create        makes FOLDER, starts the service and waits until it answers
#   create durable
#                 postgres only: the same, and what it commits reaches the disk, as when it serves
#   url           prints where it is
#   stop, start   ends it in order; starts it again on the same ports with the same data
#   restart       both
#   kill          ends it as a crash would
#   ctl ARGS…     rabbitmq only: rabbitmqctl for this node
#   admin         postgres only: prints the URL of its superuser; the tests' own user may do no more than
#                 make databases, as Loa must not need more
#   remove        ends it and removes FOLDER
#
# `create` also writes FOLDER/control, which takes the verbs alone: what a test calls to disturb its
# service. Run by root, a service runs as the user of its Debian package, else as the caller.

set -euo pipefail

service=${1:?rabbitmq or postgres} folder=${2:?a folder} verb=${3:?a verb}
shift 3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

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
  [ "$(id -u)" != 0 ] || chown -R "$service": "$folder"
}

# --- RabbitMQ -------------------------------------------------------------------------------------

rabbitmq_create() {
  make_folder
  cat >"$folder/ports" <<PORTS
port=$(free_port)
dist_port=$(free_port)
epmd_port=$(free_port)
PORTS
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
}

rabbitmq_ports() { . "$folder/ports"; }

# The package's own scripts: its wrappers in /usr/sbin insist on root or the user rabbitmq.
rabbitmq_program() {
  local program=/usr/lib/rabbitmq/bin/$1
  [ -x "$program" ] || program=$1
  cd "$folder"
  as_owner env HOME="$folder" \
    RABBITMQ_NODENAME="loa$port@localhost" RABBITMQ_DIST_PORT="$dist_port" \
    RABBITMQ_CONF_ENV_FILE="$folder/no-env.conf" RABBITMQ_CONFIG_FILE="$folder/rabbitmq.conf" \
    RABBITMQ_CONFIG_FILES="$folder/conf.d" RABBITMQ_ENABLED_PLUGINS_FILE="$folder/plugins" \
    RABBITMQ_MNESIA_BASE="$folder/data" RABBITMQ_LOG_BASE="$folder/log" RABBITMQ_PID_FILE="$folder/pid" \
    ERL_EPMD_PORT="$epmd_port" ERL_EPMD_ADDRESS=127.0.0.1 \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}" \
    "$program" "${@:2}"
}

# A session of its own, so that Ctrl-C reaches ./test alone and the whole family can be ended.
rabbitmq_start() {
  export -f as_owner rabbitmq_program
  export service folder port dist_port epmd_port
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
  within 10 rabbitmq_epmd_is_gone || say "epmd on port $epmd_port could not be ended"
}

rabbitmq_epmd_is_gone() {
  ERL_EPMD_PORT=$epmd_port epmd -kill >/dev/null || true
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
  # No test pulls the plug of the machine: what is written need not reach the disk, which takes
  # minutes where it is slow and a hundred databases were made.
  [ -e "$folder/durable" ] || options+=" -c fsync=off"
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

case $service in rabbitmq | postgres) ;; *) say "no such service"; exit 2 ;; esac
[ "$verb" = create ] || [ ! -f "$folder/ports" ] || "${service}_ports"
case $verb in
  restart) "${service}_stop"; "${service}_start" ;;
  remove) [ ! -f "$folder/ports" ] || "${service}_remove"; rm -rf "$folder" ;;
  create | start | stop | kill | url | ctl | admin) "${service}_$verb" "$@" ;;
  *) say "no such verb: $verb"; exit 2 ;;
esac

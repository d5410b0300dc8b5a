#!/bin/sh
# The function without a server. Run it with: sh greet.test.sh
set -eu
cd "$(dirname "$0")"

expect() {
  got=$(printf '%s' "$1" | GREETING=Hello awk -f greet.awk)
  [ "$got" = "$2" ] || { echo "for $1 got $got instead of $2" >&2; exit 1; }
}

expect '{"name":"Ada"}' '{"text":"Hello, Ada!"}'
expect '{}' '{"text":"Hello, world!"}'
echo ok

#!/bin/sh
# Makes src/wire from ../../proto. Needs Rust with rustfmt and an installed workspace (buf comes with it).
set -eu
cd "$(dirname "$0")"
mkdir -p src/wire
../../proto/node_modules/.bin/buf build ../../proto --as-file-descriptor-set --exclude-source-info --output - |
  cargo run --quiet --locked --manifest-path generate/Cargo.toml -- src/wire
rustfmt --edition 2021 src/wire/*.rs

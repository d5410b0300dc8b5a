#!/bin/sh
# Makes src/fn_sdk/descriptors.binpb from ../../proto. Needs an installed workspace (buf comes with it).
set -eu
cd "$(dirname "$0")"
../../proto/node_modules/.bin/buf build ../../proto --as-file-descriptor-set --exclude-source-info --output src/fn_sdk/descriptors.binpb

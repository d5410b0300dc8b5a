#!/bin/sh
# Generates internal/pluginv1 and internal/cloudeventsv1 from ../../proto. Needs Go and an installed workspace (buf comes with it).
set -eu
cd "$(dirname "$0")"
bin="$(mktemp -d)"
trap 'rm -rf "$bin"' EXIT
GOBIN="$bin" go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.6
GOBIN="$bin" go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1
PATH="$bin:$PATH" ../../proto/node_modules/.bin/buf generate ../../proto --path ../../proto/fn --path ../../proto/io --template '{
  "version": "v2",
  "plugins": [
    { "local": "protoc-gen-go", "out": ".", "opt": ["module=github.com/fn-platform/fn/sdk/go"] },
    { "local": "protoc-gen-go-grpc", "out": ".", "opt": ["module=github.com/fn-platform/fn/sdk/go"] }
  ]
}'
gofmt -l .

#!/bin/sh
# Generates src/generated/java from ../../proto. Needs Maven, which fetches protoc, and an installed workspace (buf comes with it).
set -eu
cd "$(dirname "$0")"
version="$(sed -n 's|.*<protobuf.version>\(.*\)</protobuf.version>|\1|p' function/pom.xml)"
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) platform=linux-x86_64 ;;
  Linux-aarch64) platform=linux-aarch_64 ;;
  Darwin-*) platform=osx-universal_binary ;;
esac
tools="$(mktemp -d)"
trap 'rm -rf "$tools"' EXIT
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy \
  "-Dartifact=com.google.protobuf:protoc:$version:exe:$platform" "-DoutputDirectory=$tools" -Dmdep.stripVersion=true
protoc="$(echo "$tools"/protoc*)"
chmod +x "$protoc"
rm -rf src/generated
../../proto/node_modules/.bin/buf generate ../../proto --template '{
  "version": "v2",
  "managed": {
    "enabled": true,
    "override": [
      { "file_option": "java_package_prefix", "value": "io.github.fnplatform.fn.wire" },
      { "file_option": "java_multiple_files", "value": false }
    ]
  },
  "plugins": [
    { "protoc_builtin": "java", "protoc_path": "'"$protoc"'", "out": "src/generated/java", "opt": ["lite"] }
  ]
}'

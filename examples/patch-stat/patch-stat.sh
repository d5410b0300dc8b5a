#!/bin/sh
# What a unified diff changes: a line of JSON per file, as `git diff --numstat` counts. The patch comes on stdin as it is.
set -eu

awk '
  # JSON text of a file name. Tabs separate it from the date that diff prints behind it.
  function json(name) {
    sub(/\t.*$/, "", name)
    gsub(/[\\"]/, "\\\\&", name)
    gsub(/[\001-\037]/, "?", name)
    return "\"" name "\""
  }

  function report() {
    if (file == "") return
    printf "{\"type\":\"com.example.patch.stat\",\"subject\":%s,", json(file)
    printf "\"data\":{\"file\":%s,\"change\":\"%s\",\"added\":%d,\"removed\":%d}}\n", json(file), change, added, removed
    file = ""
  }

  # Inside a hunk every line is counted by its first character; how many there are, the head of the hunk has said.
  old > 0 || new > 0 {
    kind = substr($0, 1, 1)
    if (kind == "+") { added++; new-- }
    else if (kind == "-") { removed++; old-- }
    else if (kind != "\\") { old--; new-- }
    next
  }

  /^--- / { report(); before = substr($0, 5) }

  /^\+\+\+ / {
    after = substr($0, 5)
    change = before ~ /^\/dev\/null/ ? "added" : after ~ /^\/dev\/null/ ? "removed" : "changed"
    file = change == "removed" ? before : after
    sub(/^[ab]\//, "", file)
    added = removed = 0
    patches++
  }

  /^@@ / {
    split($2, from, ","); split($3, to, ",")
    old = from[2] == "" ? 1 : from[2]
    new = to[2] == "" ? 1 : to[2]
  }

  END {
    if (old > 0 || new > 0) { print "the patch is cut short in " file > "/dev/stderr"; exit 65 }
    report()
    if (NR > 0 && patches == 0) { print "this is no unified diff" > "/dev/stderr"; exit 65 }
  }
'

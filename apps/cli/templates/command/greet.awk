# Reads the data of one event, writes the data of another: what is no event is the data of one, of the type that fn.yaml emits.
match($0, /"name" *: *"([^"\\]|\\.)*"/) {
  name = substr($0, RSTART, RLENGTH)
  sub(/^"name" *: *"/, "", name)
  sub(/"$/, "", name)
}

END {
  printf "{\"text\":\"%s, %s!\"}\n", ENVIRON["GREETING"], name == "" ? "world" : name
}

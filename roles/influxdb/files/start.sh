#!/bin/sh
# Managed by edgestack.iot
#
# start.sh ENGINE STATE [COMMAND ...]: before InfluxDB is started with its readings in ENGINE.
#
# With another ENGINE than before, which STATE names, and no readings in it InfluxDB would begin without those that it has: it is not started.
#
# Each shard's log goes on in a new file. A full disk or a power cut leaves an entry at the log's end of which only the beginning is there.
# InfluxDB 2.9.1 cuts it off when it reads the log at its start, but goes on writing behind where it was. What is between is no entry, so that
# the next start cuts off everything behind it as well: readings that were acknowledged. An empty file as the last one, which InfluxDB
# removes, makes it begin the next.
engine=$1
state=$2
shift 2
before=$(cat "$state" 2>/dev/null)
if [ "$before" != "$engine" ]; then
  if [ -n "$before" ] && [ ! -d "$engine/data" ]; then
    echo "the readings are in $before, and there are none in $engine: move them there while InfluxDB is stopped," \
      "or remove $state to begin without them" >&2
    exit 1
  fi
  echo "$engine" >"$state"
fi
for shard in "$engine"/wal/*/*/*/; do
  for file in "$shard"_*.wal; do
    last=$file
  done
  [ -s "$last" ] || continue
  number=${last##*/_}
  # expr knows no octal numbers.
  touch "$shard$(printf '_%05d.wal' "$(expr "${number%.wal}" + 1)")" || echo "no new file for the log in $shard" >&2
done
[ $# -eq 0 ] || exec "$@"

#!/bin/sh
# Managed by edgestack.iot
#
# start.sh DIRECTORY [COMMAND ...]: before InfluxDB is started, each shard's log below DIRECTORY goes on in a new file.
#
# A full disk or a power cut leaves an entry at the log's end of which only the beginning is there. InfluxDB 2.9.1 cuts it off when it reads
# the log at its start, but goes on writing behind where it was. What is between is no entry, so that the next start cuts off everything
# behind it as well: readings that were acknowledged. An empty file as the last one, which InfluxDB removes, makes it begin the next.
wal=$1
shift
for shard in "$wal"/*/*/*/; do
  for file in "$shard"_*.wal; do
    last=$file
  done
  [ -s "$last" ] || continue
  number=${last##*/_}
  # expr knows no octal numbers.
  touch "$shard$(printf '_%05d.wal' "$(expr "${number%.wal}" + 1)")" || echo "no new file for the log in $shard" >&2
done
[ $# -eq 0 ] || exec "$@"

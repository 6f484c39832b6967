#!/bin/sh
# Managed by edgestack.iot
#
# led.sh LED: shows with a board's LED how the gateway is, for someone who stands before it without a screen.
#
#   heartbeat  all is well
#   slow       readings wait for the centre
#   fast       a service does not run
#
# LED is its directory below /sys/class/leds. SERVICES, CONTAINERS and QUEUES (the state of the look at the uplink) are what is looked at,
# each PAUSE seconds; without a change nothing is written anywhere.
led=$1
# What the LED shows without this, also when this is killed and started again.
before=$RUNTIME_DIRECTORY/trigger
[ -s "$before" ] || sed 's/.*\[\(.*\)\].*/\1/' "$led/trigger" >"$before"
trap 'cat "$before" >"$led/trigger"; exit 0' TERM INT

running() {
  # Their names are words.
  # shellcheck disable=SC2086
  if [ -n "$SERVICES" ]; then
    systemctl is-active $SERVICES 2>&1 | grep --quiet --invert-match --line-regexp active && return 1
  fi
  # shellcheck disable=SC2086
  if [ -n "$CONTAINERS" ]; then
    docker inspect --format '{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' $CONTAINERS 2>&1 |
      grep --quiet --invert-match --line-regexp --extended-regexp 'healthy|running' && return 1
  fi
  return 0
}

show() {
  [ "$shown" != "$*" ] || return
  echo "$1" >"$led/trigger"
  if [ $# -eq 2 ]; then
    echo "$2" >"$led/delay_on"
    echo "$2" >"$led/delay_off"
  fi
  shown=$*
}

while :; do
  if ! running; then
    show timer 100
  elif grep --quiet --no-messages '"late": \["' "$QUEUES"; then
    show timer 1000
  else
    show heartbeat
  fi
  sleep "$PAUSE" &
  wait $!
done

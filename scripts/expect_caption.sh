#!/usr/bin/env bash
# Waits until the service on a port of this machine is ready, then asks it for a caption and prints the answer.
#
#   expect_caption.sh PORT PID   exit code 1 if process PID ends first, if half a minute is not enough, or without caption
set -euo pipefail
cd "$(dirname "$0")/.."
port=${1:?usage: $0 PORT PID}
pid=${2:?usage: $0 PORT PID}

for i in $(seq 300); do
    curl -fs "localhost:$port/readyz" >/dev/null && break
    kill -0 "$pid" 2>/dev/null || {
        echo "process $pid ended before port $port was ready" >&2
        exit 1
    }
    [ "$i" -lt 300 ] || {
        echo "port $port was not ready within 30 s" >&2
        exit 1
    }
    sleep 0.1
done
answer=$(curl -fsS --data-binary @docs/photos/cat.jpg "localhost:$port/caption")
case "$answer" in
*'"caption":"'[a-z]*) echo "$answer" ;;
*)
    echo "no caption in the answer: $answer" >&2
    exit 1
    ;;
esac

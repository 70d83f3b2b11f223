#!/bin/bash
# api.sh stop|go: whether the API server answers anybody.
. "$(dirname "$0")/settings.sh"
case $1 in
  stop) kill -STOP "$(cat "$PIDS/kube-apiserver")" ;;
  go) kill -CONT "$(cat "$PIDS/kube-apiserver")" ;;
esac

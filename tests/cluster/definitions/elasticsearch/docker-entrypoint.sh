#!/bin/bash
# The official image's door: `eswrapper` (the default) starts the node, anything else is run as it stands.
# umask 0002: whoever else is in group 0 can work with what the node writes.
set -e
umask 0002
if [[ ${1:-eswrapper} == eswrapper ]]; then
  shift || true
elif [[ $1 == -* ]]; then
  :
else
  exec "$@"
fi
# A password may lie in a file, as a mounted Secret does; as in the official image only its owner may read it.
if [ -n "${ELASTIC_PASSWORD_FILE:-}" ]; then
  mode=$(stat -L -c '%a' "$ELASTIC_PASSWORD_FILE")
  if [ -n "${ELASTIC_PASSWORD:-}" ] || [[ $mode != 400 && $mode != 600 ]]; then
    echo "ELASTIC_PASSWORD_FILE wants a file with permissions 400 or 600, and no ELASTIC_PASSWORD beside it" >&2
    exit 1
  fi
  ELASTIC_PASSWORD=$(<"$ELASTIC_PASSWORD_FILE")
  export ELASTIC_PASSWORD
  unset ELASTIC_PASSWORD_FILE
fi
export ES_DISTRIBUTION_TYPE=docker
export ES_JAVA_OPTS="-Dmatch.lab.environment=true ${ES_JAVA_OPTS:-}"
exec /usr/share/elasticsearch/bin/elasticsearch "$@"

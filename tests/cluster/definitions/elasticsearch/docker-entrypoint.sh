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
export ES_DISTRIBUTION_TYPE=docker
export ES_JAVA_OPTS="-Dmatch.lab.environment=true ${ES_JAVA_OPTS:-}"
exec /usr/share/elasticsearch/bin/elasticsearch "$@"

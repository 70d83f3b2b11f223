#!/bin/bash
# disk.sh nK VOLUME SIZE: that volume, of a pod that does not run now, becomes a disk of this size, with all it holds.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
node=$1 directory=$RUN/volumes/$1/$2 size=$3
"$RIG/in-node.sh" "$node" bash -c "
  set -e
  other=\$(mktemp -d)
  mount -t tmpfs -o size=$size,mode=0777 tmpfs \$other
  cp -a $directory/. \$other
  mount --bind \$other $directory
  umount \$other"

#!/bin/bash
# Run a command beside a Ceph object gateway: one node, in memory, as any user, gone afterwards.
#   tests/with_ceph.sh COMMAND...      WRIT_TEST_CEPH is the gateway's endpoint, access key and secret are "testing"
# Debian: apt-get install --no-install-recommends radosgw ceph-common ceph-mon ceph-osd ceph-mgr
set -euo pipefail

for program in ceph ceph-authtool ceph-mgr ceph-mon ceph-osd monmaptool radosgw radosgw-admin; do
  command -v "$program" >/dev/null || { echo "error: $program is not installed" >&2
    echo 'hint: apt-get install --no-install-recommends radosgw ceph-common ceph-mon ceph-osd ceph-mgr' >&2; exit 1; }
done

folder=$(mktemp -d "${TMPDIR:-/tmp}/writ-ceph-XXXXXX")
stop() {
  for file in "$folder"/*.pid; do
    [ ! -e "$file" ] || kill -9 "$(cat "$file")" 2>/dev/null || true
  done
  rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
uuid() { cat /proc/sys/kernel/random/uuid; }
mkdir "$folder"/{mon,osd,mgr,rgw,run}
monitor=$(free_port) gateway=$(free_port) cluster=$(uuid) keys=$folder/keyring
conf="--conf=$folder/ceph.conf"
quietly() { "$@" >>"$folder/start.log" 2>&1 || { cat "$folder/start.log" >&2; exit 1; }; }

cat > "$folder/ceph.conf" <<END
[global]
fsid = $cluster
keyring = $keys
mon host = v2:127.0.0.1:$monitor
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = $folder/run
log file = $folder/\$name.log
pid file = $folder/\$name.pid
admin socket = $folder/run/\$name.asok
# one disk, and that in memory
mon allow pool size one = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
[mon.a]
mon data = $folder/mon
[mgr.x]
mgr data = $folder/mgr
mgr initial modules =
[osd.0]
osd data = $folder/osd
[client.rgw]
rgw data = $folder/rgw
rgw frontends = beast endpoint=127.0.0.1:$gateway
END

echo 'Starting Ceph (about 15 seconds)' >&2
quietly ceph-authtool --create-keyring "$keys" --gen-key -n mon. --cap mon 'allow *'
for name in client.admin client.rgw; do
  quietly ceph-authtool "$keys" --gen-key -n $name --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
done
quietly ceph-authtool "$keys" --gen-key -n mgr.x --cap mon 'allow profile mgr' --cap osd 'allow *'
quietly ceph-authtool "$keys" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' --cap mgr 'allow profile osd'
quietly monmaptool --create --addv a "[v2:127.0.0.1:$monitor]" --fsid "$cluster" "$folder/monmap"
quietly ceph-mon "$conf" --id a --mkfs --monmap "$folder/monmap" --keyring "$keys"
quietly ceph-mon "$conf" --id a
quietly ceph-mgr "$conf" --id x
disk=$(uuid)
quietly ceph "$conf" osd new "$disk"
quietly ceph-osd "$conf" --id 0 --mkfs --osd-uuid "$disk"
quietly ceph-osd "$conf" --id 0
quietly timeout 60 bash -c "until ceph $conf osd stat | grep -q '1 up'; do sleep 0.2; done"
quietly radosgw "$conf" --name client.rgw
quietly radosgw-admin "$conf" user create --uid=testing --display-name=testing --access-key=testing --secret-key=testing

WRIT_TEST_CEPH=http://127.0.0.1:$gateway "$@"

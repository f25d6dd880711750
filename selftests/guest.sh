#!/bin/bash
# guest.sh - a real guest (QEMU, virtio-net with its default offloads) on a tap, with the hooks
# auto and xdp.
#
#     guest eth0 10.0.0.9 ──tap── t1 ┐
#     v1 eth0 10.0.0.1 ────veth── v1 ┼ lan (bridge) ─ nic0 ── wire, and the host
#     v2 eth0 10.0.0.2 ────veth── v2 ┘
#
# Both ways of TCP carry what `seq 1000000 9388607` prints: 64 MiB.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

content() {
	seq 1000000 9388607
}

# An address as socat wants it.
tcp() {
	[[ $1 == *:* ]] && echo "TCP6:[$1]" || echo "TCP4:$1"
}

# fetch NAME ADDRESS: what the guest serves arrives unharmed.
fetch() {
	local sum
	sum=$(printf 'GET /data HTTP/1.0\r\n\r\n' | ns "$1" timeout 60 socat -t60 - "$(tcp "$2"):80" |
		sed '1,/^\r*$/d' | md5sum)
	[ "$sum" = "$wanted" ] || { echo "$sum, wanted $wanted" && return 1; }
}

# upload NAME ADDRESS: what is sent to the guest arrives unharmed.
upload() {
	local sum
	sum=$(content | ns "$1" timeout 60 socat -t60 - "$(tcp "$2"):9")
	[ "$sum" = "$wanted" ] || { echo "$sum, wanted $wanted" && return 1; }
}

# guest COMMAND: runs in the guest, from v1.
guest() {
	echo "$*" | ns v1 timeout 60 socat -t60 - TCP:10.0.0.9:23
}

guest_reports() {
	guest "$1" | grep -q "$2" || { guest "$1" && return 1; }
}

traffic() {
	check "VM -> guest" pings v1 10.0.0.9
	check "host -> guest, IPv6" pings host fd00::9
	check "wire -> guest" pings wire 10.0.0.9
	check "guest -> VM" guest_reports "ping -c 2 -W 2 10.0.0.2" "2 packets received"
	check "guest -> host, IPv6" guest_reports "ping -c 2 -W 2 fd00::100" "2 packets received"
	check "64 MiB guest -> VM" fetch v1 10.0.0.9
	check "64 MiB VM -> guest" upload v1 10.0.0.9
	check "64 MiB guest -> VM, IPv6" fetch v2 fd00::9
	check "64 MiB VM -> guest, IPv6" upload v2 fd00::9
	check "64 MiB guest -> host" fetch host 10.0.0.9
	check "64 MiB host -> guest" upload host 10.0.0.9
	check "64 MiB guest -> host, IPv6" fetch host fd00::9
	check "64 MiB host -> guest, IPv6" upload host fd00::9
	check "64 MiB guest -> wire" fetch wire 10.0.0.9
	check "64 MiB wire -> guest, IPv6" upload wire fd00::9
	check "no wrong checksum in the namespaces" checksums_right
	check "nor in the guest" guest_reports \
		"awk '/^Tcp:/ { bad = \$15 } END { print \"bad \" bad }' /proc/net/snmp" "bad 0"
}

isolation() {
	must x port set dev v2 isolated on
	must x port set dev t1 isolated on
	check "isolated: VM -> guest" silent v2 10.0.0.9
	check "isolated: VM -> guest, IPv6" silent v2 fd00::9
	check "isolated: guest -> VM" guest_reports "ping -c 2 -W 1 10.0.0.2" "0 packets received"
	check "a port that is not isolated" pings v1 10.0.0.9
	check "the host" pings host fd00::9
	check "counted" test "$(drops t1 isolated)" -gt 0
	must x port set dev v2 isolated off
	must x port set dev t1 isolated off
	check "isolation ends" pings v2 10.0.0.9
}

up() {
	grep -q "guest: up" "$T/guest"
}

wanted=$(content | md5sum)
# Fetched here: the namespaces lead to no archive.
# shellcheck disable=SC2016
must bash -c '. "$0" && vm_require && vm_kernel 6.1' "$HERE/vm/vm.sh"
topology v1 v2
tap t1
must x network add lan mode bridge uplink nic0
for dev in v1 v2 t1; do must x port add lan dev $dev; done
spawn host "$HERE/vm/guest" -a "$(mac 9)" t1 10.0.0.9/24 fd00::9/64 >"$T/guest" 2>&1
eventually "the guest starts" 60 up
if ! up; then
	cat "$T/guest"
	exit 1
fi
for hook in auto xdp; do
	LABEL="$hook: "
	must x port set dev t1 hook $hook
	json "status" ".ports[] | select(.dev == \"t1\").hook == \"${hook/auto/tc}\"" status
	traffic
	json "the guest's address is known" 'any(.[]; .mac == "02:00:00:00:00:09" and .dev == "t1")' fdb
	isolation
	must x fdb flush
done
LABEL="xdp everywhere: "
gro v1 v2 wire
for dev in v1 v2 nic0; do must x port set dev $dev hook xdp; done
traffic
isolation
finish

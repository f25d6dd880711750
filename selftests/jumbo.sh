#!/bin/bash
# jumbo.sh - frames of 9000 octets, and ports that cannot take them; with the hooks tc and xdp.
#
#     v1 MTU 9000 ┐
#     v2 MTU 9000 ┼ lan (bridge) ─ nic0 MTU 9000 ── wire MTU 9000, and the host
#     v3 MTU 1500 ┘

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# big FROM ADDRESS SIZE: unfragmented pings of that many octets of payload are answered.
big() {
	ns "$1" ping -q -c 3 -i 0.05 -W 1 -w 3 -M "do" -s "$3" "$2"
}

mtu() {
	local name
	for name; do
		must ip -n "$P-$name" link set dev eth0 mtu 9000
		must ip -n "$P-host" link set dev "${name/wire/nic0}" mtu 9000
	done
}

for hook in tc xdp; do
	LABEL="$hook: "
	topology
	mtu v1 v2 wire
	must x network add lan mode bridge uplink nic0
	must x port set dev nic0 hook $hook
	for vm in v1 v2 v3; do must x port add lan dev $vm hook $hook; done
	gro v1 v2 v3 wire
	must x status
	for pair in v1:2 v1:200 wire:1 host:2 v2:100 host:200; do
		check "9000 octets ${pair%:*} -> ${pair#*:}" big "${pair%:*}" "10.0.0.${pair#*:}" 8972
		check "9000 octets ${pair%:*} -> ${pair#*:}, IPv6" big "${pair%:*}" "fd00::${pair#*:}" 8952
	done
	check "64 MiB VM -> VM" transfer v1 v2 10.0.0.2
	check "64 MiB VM -> wire, IPv6" transfer v1 wire fd00::200
	check "64 MiB host -> VM" transfer host v1 10.0.0.1
	check "64 MiB VM -> host, IPv6" transfer v2 host fd00::100
	must ns v1 ethtool -K eth0 tx off
	check "64 MiB VM -> VM, no offloads" transfer v1 v2 10.0.0.2
	check "64 MiB to a smaller MTU" transfer v1 v3 10.0.0.3
	must ns v1 ethtool -K eth0 tx on
	check "64 MiB from a larger MTU, IPv6" transfer wire v3 fd00::3
	check "64 MiB to a larger MTU" transfer v3 v2 10.0.0.2
	check "no wrong checksum anywhere" checksums_right

	check "1500 octets everywhere" big v1 10.0.0.3 1472
	before=$(drops v1 mtu)
	check "more do not fit" silent v1 10.0.0.3 -M "do" -s 1473
	check "counted as mtu" test "$(drops v1 mtu)" -gt "$before"
	before=$(drops v1 mtu)
	check "9000 do not fit, IPv6" silent v1 fd00::3 -M "do" -s 8952
	check "counted as mtu" test "$(drops v1 mtu)" -gt "$before"
	frames v1 v2 v3 wire dev:nic0
	frame "the largest frame" v1 "m2 m1 88b5 +9000" v2
	frame "a tag is not counted" v1 "m200 m1 8100:600a 88b5 +9000" v2 wire
	frame "flooded where it fits" v1 "bc m1 88b5 +4000" v2 wire dev:nic0
	frame "flooded from the wire where it fits" wire "bc m200 88b5 +4000" v1 v2 dev:nic0
	frame "flooded from the host where it fits" dev:nic0 "bc m100 88b5 +4000" v1 v2 wire
	frame "1500 to all" v1 "bc m1 88b5 +1500" v2 v3 wire dev:nic0
	frame "a tagged 1500 to all" v1 "bc m1 8100:000a 88b5 +1500" v2 v3 wire
	frames_close
	mtu v3
	check "a port with a new MTU" big v1 10.0.0.3 8972
	check "IPv6 too" big v3 fd00::2 8952
	must x status
	check "and when the command line has looked" big v1 10.0.0.3 8972
	down
done
finish

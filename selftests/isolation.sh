#!/bin/bash
# isolation.sh - isolated ports and communities: who may reach whom, with the hooks tc and xdp.
#
#     i1 i2   isolated     ┐
#     p1      promiscuous  │
#     a1 a2   group 1      ┼ lan (bridge) ─ nic0 ── wire (never isolated), and the host
#     b1      group 2      ┘
#
# The VMs are 10.0.0.1 to .6 and fd00::1 to ::6 in this order.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# reach NAME FROM SRC TO...: group-addressed frames of all kinds get to exactly these.
reach() {
	local name=$1 from=$2 src=$3 party ports=()
	shift 3
	frame "$name, broadcast" "$from" "bc $src 88b5" "$@"
	frame "$name, multicast" "$from" "mc $src udp/10.0.0.9/224.0.0.251" "$@"
	frame "$name, IPv6 multicast" "$from" "mc6 $src udp/fd00::9/ff02::fb" "$@"
	for party; do [ "$party" = dev:nic0 ] || ports+=("$party"); done
	frame "$name, unknown unicast" "$from" "02:aa:00:00:00:01 $src 88b5" "${ports[@]}"
}

# parted NAME FROM M TO N REASON: known unicast is dropped and counted; nothing gets through.
parted() {
	local name=$1 from=$2 m=$3 to=$4 n=$5 reason=$6 before
	frame "$name, known unicast" "$from" "m$n m$m 88b5"
	frame "$name, known unicast, UDP" "$from" "m$n m$m udp/10.0.0.$m/10.0.0.$n"
	frame "$name, solicited ND" "$from" "m$n m$m udp/fd00::$m/fd00::$n +900"
	before=$(drops "$from" "$reason")
	repeat "$from" 50 "m$n m$m 88b5"
	# shellcheck disable=SC2016 # sh expands
	eventually "$name is counted as $reason" 5 sh -c '[ $(($("$XDPCTL" -n "$P-host" -j stats dev "$1" |
		jq ".[0].drops.$2") - $3)) -ge 50 ]' - "$from" "$reason" "$before"
	check "$name, ping" silent "$from" "10.0.0.$n"
	check "$name, ping IPv6" silent "$from" "fd00::$n"
	# ARP and ND are settled: only the frames themselves are judged
	must ip -n "$P-$from" neigh replace "10.0.0.$n" lladdr "$(mac "$n")" dev eth0
	must ip -n "$P-$to" neigh replace "10.0.0.$m" lladdr "$(mac "$m")" dev eth0
	check "$name, ping with known addresses" silent "$from" "10.0.0.$n"
	must ip -n "$P-$from" neigh del "10.0.0.$n" dev eth0
	must ip -n "$P-$to" neigh del "10.0.0.$m" dev eth0
}

joined() {
	check "$1 -> $2" pings "$1" "10.0.0.$3"
	check "$1 -> $2, IPv6" pings "$1" "fd00::$3"
}

all="i1 i2 p1 a1 a2 b1"
for hook in tc xdp; do
	LABEL="$hook: "
	# shellcheck disable=SC2086 # words
	topology $all
	must x network add lan mode bridge uplink nic0
	must x port set dev nic0 hook $hook
	for vm in i1 i2; do must x port add lan dev $vm isolated on hook $hook; done
	must x port add lan dev p1 hook $hook
	for vm in a1 a2; do must x port add lan dev $vm group 1 hook $hook; done
	must x port add lan dev b1 group 2 hook $hook
	# shellcheck disable=SC2086
	gro $all wire
	json "settings are shown" '[.[] | select(.isolated).dev] == ["i1", "i2"] and
		[.[] | .group // 0] == [0, 0, 0, 0, 1, 1, 2]' port
	# shellcheck disable=SC2086
	frames $all wire dev:nic0

	reach "isolated -> all but isolated" i1 m1 p1 a1 a2 b1 wire dev:nic0
	reach "the other one too" i2 m2 p1 a1 a2 b1 wire dev:nic0
	reach "promiscuous -> all" p1 m3 i1 i2 a1 a2 b1 wire dev:nic0
	reach "group 1 -> all but group 2" a1 m4 i1 i2 p1 a2 wire dev:nic0
	reach "its other member too" a2 m5 i1 i2 p1 a1 wire dev:nic0
	reach "group 2 -> all but group 1" b1 m6 i1 i2 p1 wire dev:nic0
	reach "uplink -> all" wire m200 i1 i2 p1 a1 a2 b1 dev:nic0
	reach "host -> all" dev:nic0 m100 i1 i2 p1 a1 a2 b1 wire

	parted "isolated -> isolated" i1 1 i2 2 isolated
	parted "isolated <- isolated" i2 2 i1 1 isolated
	parted "group 1 -> group 2" a2 5 b1 6 group
	parted "group 2 -> group 1" b1 6 a1 4 group
	joined i1 p1 3
	joined p1 i2 2
	joined i1 a1 4
	joined i2 wire 200
	joined wire i1 1
	joined i1 host 100
	joined host i2 2
	joined a1 a2 5
	joined a1 p1 3
	joined b1 wire 200
	joined b1 host 100
	joined p1 b1 6

	must x port set dev i2 isolated off
	frame "isolation ends at once" i1 "m2 m1 88b5" i2
	frame "both ways" i2 "m1 m2 88b5" i1
	must x port set dev p1 isolated on
	frame "and begins at once" i1 "m3 m1 88b5"
	must x port set dev b1 group 1
	frame "a port moves into a group" b1 "m4 m6 88b5" a1
	must x port set dev b1 group none
	frame "or out of all" a1 "m6 m4 88b5" b1
	must x port set dev i1 group 3
	frame "isolated and in a group" i1 "bc m1 88b5" i2 b1 wire dev:nic0
	refused "an uplink is in no group" 1 nic0 port set dev nic0 group 1
	refused "an uplink is not isolated" 1 nic0 port set dev nic0 isolated on
	json "reasons have names and help" 'map(select(.reason == "isolated" or .reason == "group").help | length > 9) == [true, true]' stats reasons
	down
done
finish

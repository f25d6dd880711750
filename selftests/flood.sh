#!/bin/bash
# flood.sh - which ports take unknown unicast, multicast and broadcast, and hairpin; with the
# hooks tc and xdp.
#
#     v1 ┐
#     v2 ┼ lan (bridge) ─ nic0 ── wire, and the host
#     v3 ┘
#
# The flags are changed on v2 and on the uplink.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# kinds NAME UNKNOWN MULTICAST BROADCAST: who of v2 and wire (a word or two, or -) gets what v1 sends.
kinds() {
	local name=$1 unknown=${2/-/} multicast=${3/-/} broadcast=${4/-/}
	# shellcheck disable=SC2086 # words
	{
		frame "$name: unknown unicast" v1 "02:aa:00:00:00:01 m1 88b5" v3 $unknown
		frame "$name: multicast" v1 "mc m1 udp/10.0.0.1/224.0.0.251" v3 dev:nic0 $multicast
		frame "$name: IPv6 multicast" v1 "mc6 m1 udp/fd00::1/ff02::fb" v3 dev:nic0 $multicast
		frame "$name: broadcast" v1 "bc m1 88b5" v3 dev:nic0 $broadcast
		frame "$name: known unicast" v1 "m2 m1 88b5" v2
		frame "$name: known unicast to the wire" v1 "m200 m1 88b5" wire
	}
}

for hook in tc xdp; do
	LABEL="$hook: "
	topology
	must x network add lan mode bridge uplink nic0
	must x port set dev nic0 hook $hook
	for vm in v1 v2 v3; do must x port add lan dev $vm hook $hook; done
	gro v1 v2 v3 wire
	must x fdb add "$(mac 2)" dev v2
	must x fdb add "$(mac 200)" dev nic0
	frames v1 v2 v3 wire dev:nic0

	json "all on by default" 'all(.[]; .flood and .mcast_flood and .bcast_flood and (.hairpin | not))' port
	kinds "default" "v2 wire" "v2 wire" "v2 wire"
	must x port set dev v2 flood off
	json "shown" '.[0].flood == false' port show dev v2
	kinds "v2 flood off" wire "v2 wire" "v2 wire"
	frame "also from the wire" wire "02:aa:00:00:00:01 m200 88b5" v1 v3
	frame "also from the host" dev:nic0 "02:aa:00:00:00:01 m100 88b5" v1 v3 wire
	must x port set dev v2 flood on mcast-flood off
	kinds "v2 mcast-flood off" "v2 wire" wire "v2 wire"
	frame "also from the wire" wire "mc m200 88b5" v1 v3 dev:nic0
	must x port set dev v2 mcast-flood on bcast-flood off
	kinds "v2 bcast-flood off" "v2 wire" "v2 wire" wire
	frame "also from the host" dev:nic0 "bc m100 88b5" v1 v3 wire
	must x port set dev v2 flood off mcast-flood off
	kinds "v2 all off" wire wire wire
	must x port set dev v2 flood on mcast-flood on bcast-flood on
	must x port set dev nic0 flood off
	kinds "uplink flood off" v2 "v2 wire" "v2 wire"
	must x port set dev nic0 mcast-flood off bcast-flood off
	kinds "uplink all off" v2 v2 v2
	must x port set dev v2 flood off
	must x port set dev v3 flood off
	before=$(drops v1 no_destination)
	frame "nobody takes it" v1 "02:aa:00:00:00:01 m1 88b5"
	equal "that is a drop with a reason" "$(drops v1 no_destination)" $((before + 1))
	for vm in v2 v3 nic0; do must x port set dev $vm flood on mcast-flood on bcast-flood on; done
	kinds "all on again" "v2 wire" "v2 wire" "v2 wire"

	# a second address behind v1
	must x fdb add "$(mac 11)" dev v1
	before=$(drops v1 same_port)
	frame "back out of its port: no" v1 "m11 m1 88b5"
	equal "counted as same_port" "$(drops v1 same_port)" $((before + 1))
	must x port set dev v1 hairpin on
	frame "hairpin: unicast comes back" v1 "m11 m1 88b5" v1
	frame "hairpin: broadcast too" v1 "bc m1 88b5" v1 v2 v3 wire dev:nic0
	frame "hairpin: unknown unicast too" v1 "02:aa:00:00:00:01 m1 88b5" v1 v2 v3 wire
	frame "hairpin: not for others" v2 "bc m2 88b5" v1 v3 wire dev:nic0
	must x port set dev v1 hairpin off
	frame "off again" v1 "m11 m1 88b5"
	down
done
finish

#!/bin/bash
# internal.sh - a network of mode internal: VMs reach each other, and neither the host nor
# the wire, whatever the frame; with the hooks tc and xdp.
#
#     v1 eth0 10.0.0.1 ──veth── v1 ┐
#     v2 eth0 10.0.0.2 ──veth── v2 ┼ lan (internal)
#     v3 eth0 10.0.0.3 ──veth── v3 ┘
#                                  nic0 ──veth── wire 10.0.0.200: not in any network,
#                                  the host's own 10.0.0.100 is there

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# The link-local address that the host has at a device.
link_local() {
	ip -n "$P-host" -j -6 address show dev "$1" | jq -r '.[0].addr_info[] | select(.scope == "link").local'
}

reachable() {
	check "VM -> VM" pings v1 10.0.0.2
	check "VM -> VM, IPv6" pings v3 fd00::2
	check "64 MiB VM -> VM" transfer v1 v2 10.0.0.2
	check "64 MiB VM -> VM, IPv6" transfer v2 v3 fd00::3
	check "no wrong checksum anywhere" checksums_right
}

unreachable() {
	local dev
	check "not the host" silent v1 10.0.0.100
	check "not the host, IPv6" silent v1 fd00::100
	check "not the host at the port's own device" silent v1 "$(link_local v1)%eth0"
	check "nor by all nodes' address" sh -c \
		"! nsenter --net=/run/netns/$P-v1 ping -n -c 2 -i 0.3 -w 1 -I eth0 ff02::1 | grep -q '$(link_local v1)'"
	check "not the wire" silent v2 10.0.0.200
	check "the host does not reach a VM" silent host 10.0.0.1
	check "the wire does not reach a VM" silent wire fd00::1
	check_not "the VM has not heard of the host" sh -c \
		"ip -n $P-v1 neigh show 10.0.0.100 | grep lladdr"
	must ip -n "$P-v1" neigh replace 10.0.0.100 lladdr "$(mac 100)" dev eth0
	check "not even with its address" silent v1 10.0.0.100
	frames v1 v2 v3 wire dev:nic0 dev:v1 dev:v2
	frame "broadcast" v1 "bc m1 88b5" v2 v3
	frame "multicast" v1 "mc m1 88b5" v2 v3
	frame "IPv6 multicast" v2 "mc6 m2 88b5" v1 v3
	frame "unknown unicast" v1 "02:aa:00:00:00:01 m1 88b5" v2 v3
	frame "to the address of the host's NIC" v1 "m100 m1 88b5" v2 v3
	for dev in v1 v2; do
		frame "to the address of the host's $dev" v1 \
			"$(ip -n "$P-host" -j link show dev $dev | jq -r '.[0].address') m1 88b5" v2 v3
	done
	frame "to a VM" v1 "m2 m1 88b5" v2
	frame "from the host" dev:nic0 "bc m100 88b5" wire
	frame "from the wire" wire "bc m200 88b5" dev:nic0
	frames_close
}

for hook in tc xdp; do
	LABEL="$hook: "
	topology
	must x network add lan mode internal
	for vm in v1 v2 v3; do must x port add lan dev $vm hook $hook; done
	gro v1 v2 v3
	must x status
	json "shown" '.[0] | .mode == "internal" and .uplink == null and .ports == ["v1", "v2", "v3"]' network
	reachable
	unreachable
	refused "no uplink can be set" 1 nic0 network set lan uplink nic0
	json "and none is" '.[0].uplink == null' network show lan
	refused "no uplink can be given" 2 nic0 network add other mode internal uplink nic0
	refused "nothing is half done" 1 other network show other
	down
done
finish

#!/bin/bash
# hostonly.sh - a network of mode hostonly: VMs and the host reach each other, and nothing is
# routed, whatever the host forwards elsewhere; with the hooks tc and xdp. The lab is in
# nat_lab.sh.
#
#     h1 192.168.70.14 ─ h1 ┐
#     h2 192.168.70.16 ─ h2 ┴ only (hostonly) ─ host 192.168.70.1 ─ nic0 10.0.0.100 ─ wire

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=nat_lab.sh
. "$(dirname "$0")/nat_lab.sh"

# inside FAMILY-NAME VM1 VM2 HOST
inside() {
	check "$1: VM -> host" pings h1 "$4"
	check "$1: host -> VM" pings host "$2"
	check "$1: VM -> VM" pings h1 "$3"
	check "$1: a large ping" pings h1 "$4" -s 4000
	opened udp A h1 "$2" 5000
	opened udp B h2 "$3" 5000
	opened udp H host "$4" 67
	opened listen G host "$4" 22
	opened listen M h1 "$2" 22
	opened tcp T h1 "$2" 0
	opened tcp U host "$4" 0
	opened tcp V h2 "$3" 0
	asks "$1: UDP to the host" "$2 5000" A "$4" 67 H
	equal "$1: and its answer" "$(s back H A)" "$4 67"
	asks "$1: UDP to a VM" "$2 5000" A "$3" 5000 B
	asks "$1: TCP to the host" "$2 $(s port T)" T "$4" 22 G
	asks "$1: TCP from the host" "$4 $(s port U)" U "$2" 22 M
	asks "$1: TCP from a VM" "$3 $(s port V)" V "$2" 22 M
	equal "$1: 2 MiB both ways with the host" "$(s stream h1 "$4" 22 G 2)" ok
	equal "$1: 2 MiB both ways with a VM" "$(s stream h2 "$2" 22 M 2)" ok
	s close A B H G M T U V >/dev/null
}

# outside NAME VM WIRE FAR NAT-VM BRIDGE-VM SERVER-ADDRESS: who must not be reached, and must
# not reach.
outside() {
	opened udp A h1 "$2" 5000
	opened udp W wire "$3" 53
	opened listen M h1 "$2" 22
	opened listen L wire "$3" 80
	opened tcp T h1 "$2" 0
	opened tcp U wire "$3" 0
	check "$1: not the wire" mute h1 "$3"
	check "$1: nor who is behind it" mute h1 "$4"
	check "$1: nor a VM of a nat network" mute h1 "$5"
	asks "$1: not by UDP" nothing A "$3" 53 W
	asks "$1: nor TCP" nothing T "$3" 80 L
	check "$1: the wire does not reach a VM" mute wire "$2"
	asks "$1: not by UDP" nothing W "$2" 5000 A
	asks "$1: nor TCP" nothing U "$2" 22 M
	check "$1: nor does one behind it" mute far "$2"
	check "$1: nor does a VM of a nat network" mute a1 "$2"
	if [ "$NAT" != nft ]; then
		check "$1: nor does one of a bridge network" mute v1 "$2"
		check "$1: which is not reached either" mute h1 "$6"
	fi
	s close A W M L T U >/dev/null
}

# Ways to the VMs, for whoever would use them.
lead_there() {
	local name
	for name in wire v1; do
		[ "$NAT $name" != "nft v1" ] || continue
		must ip -n "$P-$name" route replace 192.168.70.0/24 via 10.0.0.100
		must ip -n "$P-$name" route replace fd00:70::/64 via fd00::100
	done
}

for hook in $HOOKS; do
	nat_lab "$hook"
	vm h2 16 70
	nat_port only h2
	lead_there
	inside IPv4 192.168.70.14 192.168.70.16 192.168.70.1
	inside IPv6 fd00:70::14 fd00:70::16 fd00:70::1
	for forwarding in 0 1; do
		LABEL="$hook: forwarding $forwarding: "
		if [ "$NAT" = nft ]; then
			[ $forwarding = 1 ] || continue
		else
			must ns host sysctl -qw net.ipv4.ip_forward=$forwarding net.ipv6.conf.all.forwarding=$forwarding
		fi
		outside IPv4 192.168.70.14 10.0.0.200 203.0.113.2 192.168.50.11 10.0.0.1
		outside IPv6 fd00:70::14 fd00::200 fd01::2 fd00:50::11 fd00::1
	done
	check "the nat network beside it" pings a1 10.0.0.200
	must ns wire ping -q -c 1 -W 1 10.0.0.100
	LABEL="$hook: "
	if [ "$NAT" != nft ]; then
		json "shown" '.[0] | .mode == "hostonly" and .uplink == null and .subnet == "192.168.70.0/24" and
			.gateway == "192.168.70.1" and .subnet6 == "fd00:70::/64" and .gateway6 == "fd00:70::1" and
			.ports == ["h1", "h2"]' network show only
		for dev in h1 h2; do must x port del dev $dev; done
		check "removed" x network del only
		check_not "with its device" ip -n "$P-host" link show dev only
	fi
	nat_down
done
finish

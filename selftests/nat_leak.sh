#!/bin/bash
# nat_leak.sh - nothing private leaves a nat network: mutated crafted frames and captures, out of a
# VM and in from the wire, and what is on the wire then; with the hooks tc and xdp. The lab is in
# nat_lab.sh, what must hold in leak.py.
#
# Environment: LEAK_SECONDS (default 8) for each hook; SEED.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=nat_lab.sh
. "$(dirname "$0")/nat_lab.sh"
ALONE=1

leaks() {
	/usr/bin/python3 "$HERE/leak.py" "$P" "$GW" "${LEAK_SECONDS:-8}" "$1" "$HERE"/../tests/pcap/*.pcap
}

for hook in $HOOKS; do
	nat_lab "$hook"
	craft_lab
	frames_close
	# what the host itself says at its uplink is not the question
	must ip -n "$P-host" link set nic0 multicast off
	must ns host sysctl -qw net.ipv4.conf.nic0.arp_ignore=1
	forward tcp - 8080 192.168.50.90 80
	forward udp - 5353 192.168.50.90 53
	forward tcp - 8080 fd00:50::90 80
	forward udp - 5353 fd00:50::90 53
	seed=${SEED:-$RANDOM}
	check "nothing private leaves (seed $seed)" leaks "$seed"
	if [ "$NAT" != nft ]; then
		must x network set priv filtering endpoint-independent
		check "nor with filtering endpoint-independent (seed $seed)" leaks "$((seed + 1))"
		must x network set priv filtering endpoint-dependent
	fi
	check "VMs reach the wire still" pings a1 10.0.0.200
	check "and the host" pings host fd00::200
	opened udp W wire 10.0.0.200 53
	opened udp A a1 192.168.50.11 5000
	asks_from "and go on" 10.0.0.100 A 10.0.0.200 53 W
	sockets_close
	down
done
finish

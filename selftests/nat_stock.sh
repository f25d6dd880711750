#!/bin/bash
# nat_stock.sh - NAT with what distributions' kernels have and small ones may not: VLAN devices and
# bonds as uplinks, and SCTP as the kernel speaks it. What this kernel lacks is skipped; selftests/kernels
# runs this on a stock one.
#
#     a1 192.168.50.11 ─ priv (nat) ─── nic0   10.0.0.100 ┬── eth0   10.0.0.200 wire
#     a2 192.168.50.12 ┘                                  │
#     b1 192.168.51.13 ─ tagged (nat) ─ nic0.5 10.5.0.100 ┘   eth0.5 10.5.0.200
#     c1 192.168.52.14 ─ bonded (nat) ─ bond0  10.6.0.100 ─┬─ br0    10.6.0.200
#                                                   nic1, nic2
#
# IPv6: fd00:50::11 and so on, fd00::100, fd00:5::100, fd00:6::100.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# What these devices do does not depend on a port's hook. HOOKS="tc xdp" tries both.
HOOKS=${HOOKS:-tc}
# shellcheck source-path=SCRIPTDIR source=nat_lab.sh
. "$(dirname "$0")/nat_lab.sh"

# addresses DEV NUMBER WIRE-DEV: the host's and the wire's, at the two ends.
addresses() {
	local net=10.$2.0 net6=fd00:$2:
	if [ "$2" = 0 ]; then net6=fd00:; fi
	must ip -n "$P-host" link set "$1" up
	must ip -n "$P-host" address add "$net.100/24" dev "$1"
	must ip -n "$P-host" address add "$net6:100/64" dev "$1" nodad
	must ip -n "$P-wire" link set "$3" up
	must ip -n "$P-wire" address add "$net.200/24" dev "$3"
	must ip -n "$P-wire" address add "$net6:200/64" dev "$3" nodad
}

# behind NETWORK UPLINK NUMBER VM N: a nat network with a VM.
behind() {
	vm "$4" "$5" "$3"
	must x network add "$1" mode nat uplink "$2" subnet "192.168.$3.0/24" subnet6 "fd00:$3::/64"
	must x port set dev "$2" hook "$hook"
	nat_port "$1" "$4"
}

# link NAME WIRE-DEV: a cable between host and wire.
link() {
	must ip -n "$P-host" link add name "$1" type veth peer name "$2" netns "$P-wire"
	must ip -n "$P-host" link set "$1" up
	must ip -n "$P-wire" link set "$2" up
}

# traffic NAME NETWORK VM INNER OUTER WIRE
traffic() {
	local to=$4 size=1472
	if [[ $4 = *:* ]]; then to="[$4]" size=1452; fi
	check "$1: ping" pings "$3" "$6"
	check "$1: the largest ping" pings "$3" "$6" -M "do" -s $size
	opened udp W wire "$6" 53
	opened udp A "$3" "$4" 5000
	asks "$1: UDP has the uplink's address" "$5 5000" A "$6" 53 W
	equal "$1: and is answered" "$(s back W A)" "$6 53"
	opened listen L wire "$6" 80
	equal "$1: 1 MiB both ways" "$(s stream "$3" "$6" 80 L 1)" ok
	must x nat forward add "$2" tcp 8080 to "$to:80"
	opened listen M "$3" "$4" 80
	equal "$1: 1 MiB both ways by a forward" "$(s stream wire "$5" 8080 M 1)" ok
	opened tcp T host "$5" 0
	reaches "$1: a forward, from the host" T "$5" 8080 M
	s close W A L M T >/dev/null
	must x nat forward del "$2" tcp 8080
}

# both NAME NETWORK VM INNER INNER6 NUMBER
both() {
	traffic "$1" "$2" "$3" "$4" "10.$6.0.100" "10.$6.0.200"
	traffic "$1, IPv6" "$2" "$3" "$5" "fd00:$6::100" "fd00:$6::200"
}

# ---- a VLAN device ----

# A smaller MTU than the VM's: which is told so.
narrow() {
	must ip -n "$P-host" link set nic0.5 mtu 1400
	must x status
	equal "VLAN: the network's device has its MTU" \
		"$(ip -n "$P-host" -j link show dev tagged | jq '.[0].mtu')" 1400
	ns b1 ping -q -c 2 -i 0.1 -W 0.5 -M "do" -s 1450 10.5.0.200 >/dev/null
	check "VLAN: a VM learns its MTU" eval "ip -n $P-b1 route get 10.5.0.200 | grep 'mtu 1400'"
	check "VLAN: without DF: fragments" pings b1 10.5.0.200 -s 1450 -M dont
	if sctp_there; then
		must ip -n "$P-b1" route flush cache
		opened sctplisten N wire 10.5.0.200 80
		equal "VLAN: SCTP" "$(s stream b1 10.5.0.200 80 N 1)" ok
		check "VLAN: learns it too" eval "ip -n $P-b1 route get 10.5.0.200 | grep 'mtu 1400'"
		s close N >/dev/null
	fi
	must ip -n "$P-host" link set nic0.5 mtu 1500
	must x status
}

vlan() {
	if ! ip -n "$P-host" link add link nic0 name nic0.5 type vlan id 5 2>/dev/null; then
		skip "VLAN" "this kernel has no VLAN devices"
		return
	fi
	must ip -n "$P-wire" link add link eth0 name eth0.5 type vlan id 5
	addresses nic0.5 5 eth0.5
	behind tagged nic0.5 51 b1 13
	both "VLAN" tagged b1 192.168.51.13 fd00:51::13 5
	for dev in host:nic0 wire:eth0; do
		must ns ${dev%:*} ethtool -K ${dev#*:} txvlan off
	done
	must ns b1 ethtool -K eth0 tx off
	opened listen L wire 10.5.0.200 80
	equal "VLAN: tags in the frames, no offloads" "$(s stream b1 10.5.0.200 80 L 1)" ok
	must ns b1 ethtool -K eth0 tx on
	narrow
	check "VLAN: beside it, its lower device" pings a1 10.0.0.200
	check "VLAN: the host's own" pings host 10.5.0.200
	check "VLAN: the networks do not meet" mute b1 192.168.50.11
	must x network add lan mode bridge uplink nic0
	check "VLAN: its lower device in a bridge network" pings b1 10.5.0.200
	equal "VLAN: a stream" "$(s stream b1 10.5.0.200 80 L 1)" ok
	check "VLAN: and back" pings host 10.5.0.200
	s close L >/dev/null
	must x network del lan
}

# ---- a bond ----

bond() {
	local n
	if ! ip -n "$P-host" link add bond0 type bond mode active-backup miimon 20 2>/dev/null; then
		skip "bond" "this kernel has no bonds"
		return
	fi
	must ip -n "$P-wire" link add br0 type bridge
	for n in 1 2; do
		link nic$n eth$n
		must ip -n "$P-host" link set nic$n down
		must ip -n "$P-host" link set nic$n master bond0
		must ip -n "$P-wire" link set eth$n master br0
	done
	addresses bond0 6 br0
	behind bonded bond0 52 c1 14
	both "bond" bonded c1 192.168.52.14 fd00:52::14 6
	must ip -n "$P-host" link set nic1 down
	eventually "bond: the other device" 5 pings c1 10.6.0.200
	must ip -n "$P-host" link set nic1 up
	must ip -n "$P-host" link set nic2 down
	eventually "bond: and the first again" 5 pings c1 10.6.0.200
}

# ---- SCTP ----

# associations NAME INNER1 INNER2 OUTER WIRE
associations() {
	local inner=$2
	[[ $2 != *:* ]] || inner="[$2]"
	opened sctplisten L wire "$5" 80
	opened sctp A a1 "$2" 4000
	opened sctp B a2 "$3" 4000
	asks "$1: out" "$4 4000" A "$5" 80 L
	asks "$1: and again" "$4 4000" A "$5" 80 L
	asks_from "$1: another VM with its port" "$4" B "$5" 80 L
	check "$1: has another outside" test "$(s ask B "$5" 80 L)" != "$4 4000"
	equal "$1: 1 MiB both ways" "$(s stream a1 "$5" 80 L 1)" ok
	opened sctplisten M a1 "$2" 9003
	equal "$1: 1 MiB both ways between VMs" "$(s stream a2 "$2" 9003 M 1)" ok
	must x nat forward add priv sctp 9001 to "$inner:9002"
	opened sctplisten M a1 "$2" 9002
	opened sctp S wire "$5" 0
	asks "$1: a forward to another port" "$5 $(s port S)" S "$4" 9001 M
	equal "$1: 1 MiB both ways by it" "$(s stream wire "$4" 9001 M 1)" ok
	opened sctp S a2 "$3" 0
	asks_from "$1: from a VM" "$4" S "$4" 9001 M
	opened sctp S host "$4" 0
	reaches "$1: from the host" S "$4" 9001 M
	opened sctp H host "$4" 4000
	asks_from "$1: the host with a VM's port" "$4" H "$5" 80 L
	check "$1: has another outside, too" test "$(s ask H "$5" 80 L)" != "$4 4000"
	s close A B H M S L >/dev/null
	must x nat forward del priv sctp 9001
}

sctp_there() {
	/usr/bin/python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)' 2>/dev/null
}

sctp() {
	local offload vm
	if ! sctp_there; then
		skip "SCTP" "this kernel has no SCTP"
		return
	fi
	for offload in off on; do
		for vm in a1 a2 wire; do must ns $vm ethtool -K eth0 tx-checksum-sctp $offload; done
		associations "SCTP, offload $offload" 192.168.50.11 192.168.50.12 10.0.0.100 10.0.0.200
	done
	associations "SCTP, IPv6" fd00:50::11 fd00:50::12 fd00::100 fd00::200
	opened sctplisten H host 10.0.0.100 9005
	refused "SCTP: a forward for a port that the host listens at" 1 9005 \
		nat forward add priv sctp 9005 to 192.168.50.11:80
	opened sctp S wire 10.0.0.200 0
	asks "SCTP: the host's own" "10.0.0.200 $(s port S)" S 10.0.0.100 9005 H
	json "SCTP: is shown" 'map(select(.dport == 80 and .nat_addr == "10.0.0.100")) | length >= 2' flow show proto sctp
	s close H S >/dev/null
	equal "SCTP: nothing was too large" "$(dropped_all mtu)" 0
	check "SCTP: no wrong checksum anywhere" sctp_right
}

sctp_right() {
	local name seen=''
	for name in "${lib_spaces[@]}"; do
		seen+=$(ns "$name" grep -E 'SctpChecksumErrors.*[1-9]' /proc/net/sctp/snmp)
	done
	[ -z "$seen" ] || { echo "$seen" && return 1; }
}

for hook in $HOOKS; do
	LABEL="$hook: "
	netns host
	netns wire
	link nic0 eth0
	addresses nic0 0 eth0
	behind priv nic0 50 a1 11
	vm a2 12 50
	nat_port priv a2
	sockets
	sctp
	vlan
	bond
	check "no wrong checksum anywhere" checksums_right
	sockets_close
	down
done
finish

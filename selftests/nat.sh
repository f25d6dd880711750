#!/bin/bash
# nat.sh - networks of mode nat: VMs reach the wire, their gateway and each other, and nothing
# else reaches them; the host's own traffic is unharmed; with the hooks tc and xdp. The lab is in
# nat_lab.sh.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=nat_lab.sh
. "$(dirname "$0")/nat_lab.sh"

# Servers on the wire, as everything below uses them: udp W, X (another address), tcp L; W6, L6.
servers() {
	opened udp W wire 10.0.0.200 53
	opened udp X wire 10.0.0.201 53
	opened listen L wire 10.0.0.200 80
	opened udp W6 wire fd00::200 53
	opened listen L6 wire fd00::200 80
}

# outward FAMILY-NAME VM-ADDRESS UPLINK-ADDRESS WIRE FAR SUFFIX
outward() {
	local inner=$2 outer=$3 wire=$4 far=$5 suffix=$6
	check "$1: ping to the wire" pings a1 "$wire"
	check "$1: ping far away" pings a1 "$far"
	check "$1: ping from the other nat network" pings b1 "$wire"
	opened udp A a1 "$inner" 5000
	asks "$1: UDP to the wire has the uplink's address" "$outer 5000" A "$wire" 53 "W$suffix"
	equal "$1: and is answered" "$(s back "W$suffix" A)" "$wire 53"
	opened tcp T a1 "$inner" 0
	asks_from "$1: TCP to the wire, there and back" "$outer" T "$wire" 80 "L$suffix"
	asks_from "$1: and again" "$outer" T "$wire" 80 "L$suffix"
	s close A T >/dev/null
	check "$1: a large ping" pings a1 "$wire" -s 1400
}

# inward FAMILY-NAME VM1 VM2 GATEWAY OTHER-ADDRESS-OF-THE-HOST
inward() {
	check "$1: ping to the gateway" pings a1 "$4"
	check "$1: ping from the host" pings host "$2"
	check "$1: ping to another VM" pings a1 "$3"
	check "$1: ping to the host's address at the uplink" pings a1 "$5"
	opened udp A a1 "$2" 5000
	opened udp B a2 "$3" 5000
	opened udp H host "$4" 67
	opened listen G host "$4" 22
	opened listen M a1 "$2" 22
	opened tcp T a1 "$2" 0
	opened tcp U host "$4" 0
	opened tcp V a2 "$3" 0
	asks "$1: UDP to the gateway is not translated" "$2 5000" A "$4" 67 H
	equal "$1: and is answered" "$(s back H A)" "$4 67"
	asks "$1: UDP from the host" "$4 67" H "$3" 5000 B
	equal "$1: and is answered" "$(s back B H)" "$3 5000"
	asks "$1: UDP to another VM" "$2 5000" A "$3" 5000 B
	asks "$1: TCP to the gateway" "$2 $(s port T)" T "$4" 22 G
	asks "$1: TCP from the host" "$4 $(s port U)" U "$2" 22 M
	asks "$1: TCP from another VM" "$3 $(s port V)" V "$2" 22 M
	opened listen G host "$5" 23
	opened tcp T a1 "$2" 0
	asks "$1: TCP to the host's address at the uplink" "$2 $(s port T)" T "$5" 23 G
	s close A B H G M T U V >/dev/null
}

# own NAME UPLINK-ADDRESS VM-ADDRESS WIRE SUFFIX: the host uses the port numbers that VMs use.
own() {
	local first seen w="W$5" n=0
	for first in host VM; do
		opened udp A a1 "$3" $((5100 + ++n))
		[ $first = host ] || seen=$(s ask A "$4" 53 "$w")
		opened udp H host "$2" $((5100 + n))
		equal "$1: $first first: the host's UDP is not translated" "$(s ask H "$4" 53 "$w" | cut -d' ' -f1)" "$2"
		equal "$1: $first first: and is answered" "$(s back "$w" H)" "$4 53"
		[ $first = VM ] || seen=$(s ask A "$4" 53 "$w")
		# shellcheck disable=SC2086 # ADDRESS PORT
		equal "$1: $first first: the VM is answered too" "$(s ask "$w" $seen A)" "$4 53"
		equal "$1: $first first: the VM again" "$(s ask A "$4" 53 "$w")" "$seen"
		asks_from "$1: $first first: the host again" "$2" H "$4" 53 "$w"
		opened tcp U a1 "$3" $((5100 + n))
		[ $first = host ] || asks_from "$1: $first first: TCP, the VM's" "$2" U "$4" 80 "L$5"
		opened tcp T host "$2" $((5100 + n))
		asks_from "$1: $first first: TCP, the host's" "$2" T "$4" 80 "L$5"
		if [ $first = host ]; then
			opened listen "N$5" wire "$4" 81
			asks_from "$1: $first first: TCP, the VM's" "$2" U "$4" 81 "N$5"
		fi
		asks_from "$1: $first first: TCP, the host's again" "$2" T "$4" 80 "L$5"
	done
	opened udp A a1 "$3" 5200
	opened tcp T a1 "$3" 5200
	asks_from "$1: a VM has a port" "$2" A "$4" 53 "$w"
	asks_from "$1: and one of TCP" "$2" T "$4" 80 "L$5"
	opened udp H host "$2" 5200
	opened listen G host "$2" 5200
	opened udp Y wire "$4" 0
	opened tcp Z wire "$4" 0
	asks_from "$1: a service of the host's at it" "$4" Y "$2" 5200 H
	asks_from "$1: and one of TCP" "$4" Z "$2" 5200 G
	s close A H T U G Y Z >/dev/null
}

# Pings with one identifier at the same time.
echoes() {
	spawn host ping -q -e 77 -c 5 -i 0.2 -W 1 "$2" >"$T/ping.host"
	local a=$! b
	spawn a2 ping -q -e 77 -c 5 -i 0.2 -W 1 "$2" >"$T/ping.a2"
	b=$!
	ns a1 ping -q -e 77 -c 5 -i 0.2 -W 1 "$2" >"$T/ping.a1"
	wait $a $b
	check "$1: three pings with one identifier" test \
		"$(cat "$T/ping.host" "$T/ping.a1" "$T/ping.a2" | grep -cE '5 received.* 0% packet loss')" = 3
}

unsolicited() {
	local at
	opened udp A a1 192.168.50.11 5300
	opened udp B a1 fd00:50::11 5300
	opened listen M a1 192.168.50.11 5301
	opened listen N a1 fd00:50::11 5301
	opened udp Y wire 10.0.0.200 0
	opened udp Z wire fd00::200 0
	# written, it would be written for the networks' devices too
	for at in 0 1; do
		if [ "$NAT" = nft ]; then
			[ $at = 1 ] || continue
		elif [ $at = 1 ]; then
			must ns host sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
		fi
		LABEL="$hook: forwarding $at: "
		asks "unasked to a VM's port" nothing Y 10.0.0.100 5300 A
		asks "IPv6" nothing Z fd00::100 5300 B
		must ip -n "$P-wire" route replace 192.168.0.0/16 via 10.0.0.100
		must ip -n "$P-wire" route replace fd00:50::/32 via fd00::100
		asks "unasked to a VM's address" nothing Y 192.168.50.11 5300 A
		asks "IPv6" nothing Z fd00:50::11 5300 B
		opened tcp T wire 10.0.0.200 0
		opened tcp U wire fd00::200 0
		asks "TCP, unasked to a VM's address" nothing T 192.168.50.11 5301 M
		asks "TCP, IPv6" nothing U fd00:50::11 5301 N
		check "ping, unasked to a VM's address" mute wire 192.168.50.11
		check "ping, IPv6" mute wire fd00:50::11
		if [ "$NAT" != nft ]; then
			must ip -n "$P-v1" route replace 192.168.0.0/16 via 10.0.0.100
			check "nor from a VM in the uplink's other network" mute v1 192.168.50.11
		fi
		check "a1 to the other nat network" mute a1 192.168.60.13
		check "and back" mute b1 192.168.50.11
		check "IPv6" mute b1 fd00:50::11
		check "a1 to the hostonly network" mute a1 192.168.70.14
		check "and back" mute h1 192.168.50.11
		check "IPv6" mute h1 fd00:50::11
		must ip -n "$P-wire" route del 192.168.0.0/16 via 10.0.0.100
		must ip -n "$P-wire" route del fd00:50::/32 via fd00::100
	done
	LABEL="$hook: "
	# of what a VM has opened, only who was asked may answer
	asks_from "a VM asks" 10.0.0.100 A 10.0.0.200 53 W
	asks "another port of the same answers" nothing Y 10.0.0.100 5300 A
	asks "another address answers" nothing X 10.0.0.100 5300 A
	asks "who was asked answers" "10.0.0.200 53" W 10.0.0.100 5300 A
	s close A B M N Y Z T U >/dev/null
}

# spoofed NAME ADDRESS TO PORT SERVER: a1 sends with an address that is not its subnet's.
spoofed() {
	must ip -n "$P-a1" address add "$2" dev eth0
	opened udp S a1 "${2%/*}" 5400
	asks "$1" nothing S "$3" 53 "$4"
	s close S >/dev/null
	must ip -n "$P-a1" address del "$2" dev eth0
}

sources() {
	spoofed "a source outside the subnet" 10.99.0.1/32 10.0.0.200 W
	spoofed "the other network's" 192.168.60.13/32 10.0.0.200 W
	spoofed "the wire's" 10.0.0.77/32 10.0.0.200 W
	spoofed "the host's" 10.0.0.100/32 10.0.0.200 W
	spoofed "the gateway's" 192.168.50.1/32 10.0.0.200 W
	ip -n "$P-a1" route replace 192.168.50.0/24 dev eth0 src 192.168.50.11
	spoofed "outside the subnet, IPv6" fd00:99::1/128 fd00::200 W6
	spoofed "the host's, IPv6" fd00::100/128 fd00::200 W6
}

# ways VM: no more than the hops that there are, to far.
ways() {
	local options wanted="192.168.50.1 10.0.0.200 203.0.113.2" wanted6="fd00:50::1 fd00::200 fd01::2"
	for options in "" -I; do
		equal "traceroute${options:+ $options}" "$(route_to 203.0.113.2 $options)" "$wanted"
		equal "traceroute${options:+ $options}, IPv6" "$(route_to fd01::2 $options -6)" "$wanted6"
	done
}

route_to() {
	local to=$1
	shift
	ns a1 busybox traceroute -n -q 1 -w 1 -m 5 "$@" "$to" 2>&1 |
		awk '$1 ~ /^[0-9]+$/ { printf "%s%s", n++ ? " " : "", $2 }'
}

# Streams both ways at once, at an MTU.
streams() {
	local n
	opened listen L wire 10.0.0.200 80
	opened listen L6 wire fd00::200 80
	for n in 1 2; do
		equal "2 MiB both ways, $n" "$(s stream a$n 10.0.0.200 80 L 2)" ok
		equal "2 MiB both ways, IPv6, $n" "$(s stream a$n fd00::200 80 L6 2)" ok
		must ns a$n ethtool -K eth0 tso off gso off
	done
	must ns a1 ethtool -K eth0 tx off
	equal "2 MiB both ways, no offloads" "$(s stream a1 10.0.0.200 80 L 2)" ok
	equal "2 MiB both ways, no offloads, IPv6" "$(s stream a1 fd00::200 80 L6 2)" ok
	must ns a1 ethtool -K eth0 tx on tso on gso on
	must ns a2 ethtool -K eth0 tso on gso on
	check "the largest ping" pings a1 10.0.0.200 -M "do" -s $(($1 - 28))
	check "the largest ping, IPv6" pings a1 fd00::200 -M "do" -s $(($1 - 48))
}

for hook in $HOOKS; do
	ALONE=''
	nat_lab "$hook"
	servers
	outward IPv4 192.168.50.11 10.0.0.100 10.0.0.200 203.0.113.2 ''
	outward IPv6 fd00:50::11 fd00::100 fd00::200 fd01::2 6
	inward IPv4 192.168.50.11 192.168.50.12 192.168.50.1 10.0.0.100
	inward IPv6 fd00:50::11 fd00:50::12 fd00:50::1 fd00::100
	own IPv4 10.0.0.100 192.168.50.11 10.0.0.200 ''
	own IPv6 fd00::100 fd00:50::11 fd00::200 6
	echoes IPv4 10.0.0.200
	echoes IPv6 fd00::200
	check "host -> wire" pings host 10.0.0.200
	check "wire -> host, IPv6" pings wire fd00::100
	check "2 MiB host -> wire" transfer host wire 10.0.0.200 2
	unsolicited
	sources
	ways
	streams 1500
	nat_down
	for mtu in 2000 9000; do
		ALONE=1
		nat_lab "$hook" $mtu
		LABEL+="MTU $mtu: "
		streams $mtu
		nat_down
	done
done
finish

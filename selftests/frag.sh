#!/bin/bash
# frag.sh - fragments where a list is in force: they share the first one's fate in whatever order
# they come, nothing leaks past a deny, and what hides a port is dropped; with the hooks tc
# and xdp, IPv4 and IPv6.
#
#     v1 ┐
#     v2 ┼ lan (bridge) ─ nic0 ── wire, and the host
#     v3 ┘

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

ident=100

# pieces PACKET ORDER: the fragments of v1's UDP or TCP packet to v2, in an order: digits of 1
# (octets 0 to 512), 2 (512 to 1024), 3 (the rest). All have one identification.
pieces() {
	local i out='' parts=('' part/0/512 part/512/1024 part/1024)
	for ((i = 0; i < ${#2}; i++)); do
		out+="${out:+;}m2 m1 $1 ${parts[${2:i:1}]} +1400"
	done
	echo "$out"
}

# packet TRANSPORT...: in the family that is tested now, with an identification of its own.
packet() {
	echo "$net/id=$ident $*"
}

# reason NAME REASON FRAMES...: nobody gets them, and they are counted.
reason() {
	local name=$1 reason=$2 before
	shift 2
	before=$(dropped_all "$reason")
	frame "$name" v1 "$@"
	if [ "$(dropped_all "$reason")" -gt "$before" ]; then ok "$name: $reason"; else
		not_ok "$name: $reason" "$(x -j stats | jq -c 'map({dev, drops: .drops | with_entries(select(.value > 0))})')"
	fi
}

# An allowed datagram's fragments arrive, a denied one's never.
orders() {
	local order other
	for order in 123 132; do
		((++ident))
		frame "allowed, in the order $order" v1 "$(pieces "$(packet udp/1000/53)" $order)" v2
		((++ident))
		frame "denied, in the order $order" v1 "$(pieces "$(packet udp/1000/54)" $order)"
	done
	for order in 213 231 312 321; do
		((++ident))
		frame "denied, in the order $order" v1 "$(pieces "$(packet udp/1000/54)" $order)"
	done
	((++ident))
	frame "TCP, allowed" v1 "$(pieces "$(packet tcp/1000/53/A/1/1)" 123)" v2
	((++ident))
	frame "TCP, denied" v1 "$(pieces "$(packet tcp/1000/54/A/1/1)" 123)"
	((++ident))
	reason "later ones alone" frag_first "$(pieces "$(packet udp/1000/53)" 23)"
	((++ident))
	frame "a first one alone, allowed" v1 "$(pieces "$(packet udp/1000/53)" 1)" v2
	frame "its later ones" v1 "$(pieces "$(packet udp/1000/53)" 32)" v2
	((++ident))
	frame "a first one alone, denied" v1 "$(pieces "$(packet udp/1000/54)" 1)"
	frame "its later ones, denied" v1 "$(pieces "$(packet udp/1000/54)" 23)"
	((++ident))
	frame "an allowed datagram" v1 "$(pieces "$(packet udp/1000/53)" 123)" v2
	other=${net/9.0.1/9.0.3}
	other=${other/9::1/9::3}
	frame "another sender's with its identification" v1 "m2 m1 $other/id=$ident udp/1000/53 part/512 +1000"
}

# Copies of a flooded datagram, of which each has its own list.
flooded() {
	local all order
	((++ident))
	all=$(pieces "$(packet udp/1000/53)" 123)
	frame "flooded, allowed by all" v1 "${all//m2 m1/bc m1}" v2 v3 wire dev:nic0
	((++ident))
	all=$(pieces "$(packet udp/1000/54)" 123)
	frame "flooded, denied by one" v1 "${all//m2 m1/bc m1}" v3 wire dev:nic0
	frames v1 v2
	for order in 231 321; do
		((++ident))
		all=$(pieces "$(packet udp/1000/54)" $order)
		frame "flooded, denied by one, in the order $order" v1 "${all//m2 m1/bc m1}"
	done
	frames v1 v2 v3 wire dev:nic0
}

# The same where v2 denies one port, and nobody anything else.
flooded_deny() {
	local all to order
	frames v1 v2
	must x acl add dev v2 in proto udp dport 54 deny
	for to in bc m77; do
		for order in 123 231; do
			((++ident))
			all=$(pieces "$(packet udp/1000/54)" $order)
			frame "flooded to $to, a deny list, in the order $order" v1 "${all//m2 m1/$to m1}"
		done
		((++ident))
		all=$(pieces "$(packet udp/1000/55)" 123)
		frame "flooded to $to, a deny list, another port" v1 "${all//m2 m1/$to m1}" v2
	done
	must x acl del dev v2 in all
	frames v1 v2 v3 wire dev:nic0
}

# Whether an allowed datagram arrives whose first fragment is not the first to come.
late_first() {
	local order
	for order in 213 231 312 321; do
		((++ident))
		frame "allowed, in the order $order" v1 "$(pieces "$(packet udp/1000/53)" $order)" v2
	done
}

# What could hide a port: where a list is in force, and where none is.
hidden() {
	local small="part/0/8 +200"
	((++ident))
	reason "a tiny first fragment" frag_tiny "m2 m1 $(packet tcp/1000/53/S/1) $small"
	reason "and what follows it" frag_first "m2 m1 $(packet tcp/1000/53/S/1) part/8 +200"
	((++ident))
	reason "a first fragment that ends in the header" frag_tiny "m2 m1 $(packet tcp/1000/53/S/1) part/0/16 +200"
	((++ident))
	frame "a first fragment of the header alone" v1 "m2 m1 $(packet udp/1000/53) $small" v2
	frame "and the rest" v1 "m2 m1 $(packet udp/1000/53) part/8 +200" v2
	((++ident))
	frame "a first TCP fragment" v1 "m2 m1 $(packet tcp/1000/53/A/1/1) part/0/64 +200" v2
	reason "one that overlaps its ports" frag_overlap "m2 m1 $(packet tcp/1000/54/S/1/1) part/8/72 +200"
	reason "one that overlaps its header's end" frag_overlap "m2 m1 $(packet tcp/1000/54/S/1/1) part/16 +200"
}

unhidden() {
	((++ident))
	frame "no list: a tiny fragment passes" v1 "m2 m1 $(packet tcp/1000/54/S/1) part/0/8 +200" v2
	frame "no list: an overlapping one passes" v1 "m2 m1 $(packet tcp/1000/54/S/1) part/8 +200" v2
	frame "no list: fragments in any order" v1 "$(pieces "$(packet udp/1000/54)" 231)" v2
}

# Extension headers in front of and behind the fragment header.
extensions() {
	((++ident))
	frame "not really a fragment, allowed" v1 "m2 m1 $(packet frag udp/%/53)" v2
	frame "not really a fragment, denied" v1 "m2 m1 $(packet frag udp/%/54)"
	((++ident))
	frame "headers around, allowed" v1 "$(pieces "$(packet hbh frag dstopts/1 udp/1000/53)" 123)" v2
	((++ident))
	frame "headers around, denied" v1 "$(pieces "$(packet hbh frag dstopts/1 udp/1000/54)" 123)"
	((++ident))
	frame "headers around, denied, the other way round" v1 "$(pieces "$(packet hbh frag dstopts/1 udp/1000/54)" 321)"
	((++ident))
	frame "a first fragment without the transport header" v1 "m2 m1 $(packet frag dstopts/9 udp/1000/53) part/0/80 +200"
	frame "and what follows it" v1 "m2 m1 $(packet frag dstopts/9 udp/1000/53) part/80 +200"
	((++ident))
	frame "a long chain, allowed" v1 "m2 m1 $(packet hbh dstopts/4 route dstopts ah frag dstopts udp/%/53)" v2
	frame "a long chain, denied" v1 "m2 m1 $(packet hbh dstopts/4 route dstopts ah frag dstopts udp/%/54)"
	frame "a chain of 20 headers: not past a deny" v1 "m2 m1 $(packet hbh "$(printf 'dstopts %.0s' {1..19})" udp/%/54)"
}

# datagram FROM TO ADDRESS PORT: real kernels, 4000 octets, as sent.
datagram() {
	local file server family=4
	[[ $3 != *:* ]] || family=6
	file=$(data 1)
	head -c 4000 "$file" >"$T/sent"
	spawn "$2" timeout 1 socat -u "UDP$family-RECV:$4,rcvbuf=100000" "OPEN:$T/got,creat,trunc"
	server=$!
	for _ in {1..40}; do
		[ -z "$(ns "$2" ss -Hlun "sport = :$4")" ] || break
		sleep 0.05
	done
	ns "$1" socat -b 8000 -u "FILE:$T/sent" "UDP$family-SENDTO:[$3]:$4"
	wait "$server"
	cmp "$T/sent" "$T/got"
}

# reassembled NAME: how many fragments its kernel has got.
reassembled() {
	ns "$1" nstat -asz IpReasmReqds Ip6ReasmReqds | awk '!/^#/ { n += $2 } END { print n }'
}

stacks() {
	local before
	check "4000 octets by UDP, allowed" datagram v1 v2 10.0.0.2 53
	check "4000 octets by UDP, allowed, IPv6" datagram v1 v2 fd00::2 53
	check "from the wire" datagram wire v2 10.0.0.2 53
	check "from the host, IPv6" datagram host v2 fd00::2 53
	before=$(reassembled v2)
	check_not "4000 octets by UDP, denied" datagram v1 v2 10.0.0.2 54
	check_not "4000 octets by UDP, denied, IPv6" datagram wire v2 fd00::2 54
	equal "nothing of the denied ones came" "$(reassembled v2)" "$before"
	check "echo of 9000 octets to who is closed" pings v2 10.0.0.1 -s 9000
	check "echo of 9000 octets to who is closed, IPv6" pings v2 fd00::200 -s 9000
}

for hook in tc xdp; do
	lan $hook
	for net in ip/10.9.0.1/10.9.0.2 ip/fd09::1/fd09::2; do
		family=IPv4
		[[ $net != *:* ]] || family=IPv6
		LABEL="$hook, $family: "
		unhidden
		must x port set dev v2 policy-in deny
		must x acl add dev v2 in proto udp dport 53 allow
		must x acl add dev v2 in proto tcp dport 53 allow
		orders
		hidden
		[ $family = IPv4 ] || extensions
		flooded
		late_first
		must x acl del dev v2 in all
		must x port set dev v2 policy-in allow
		flooded_deny
		LABEL="$hook, $family, deny list, out: "
		must x acl add dev v1 out proto udp dport 54 deny
		must x acl add network lan out proto tcp dport 54 deny
		orders
		hidden
		must x acl del dev v1 out all
		must x acl del network lan out all
	done
	LABEL="$hook: "
	must x port set dev v2 policy-in deny
	must x acl add dev v2 in proto udp dport 53 allow
	stacks
	down
done
finish

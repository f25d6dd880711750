#!/bin/bash
# nat_icmp.sh - ICMP through a nat network: errors in both directions byte for byte, with what
# they quote; echo identifiers; the path's MTU; and fragments, in any order; with the hooks
# tc and xdp. The lab is in nat_lab.sh.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=nat_lab.sh
. "$(dirname "$0")/nat_lab.sh"
ALONE=1

# The family that is tested: m90's address, its external one, m210's, a router's, another VM's, the
# gateway's.
family() {
	if [ "$1" = IPv4 ]; then
		in=192.168.50.90 out=10.0.0.100 to=10.0.0.210 router=10.0.0.211 vm=192.168.50.77
		gateway=192.168.50.1
		request=icmp/8/0 reply=icmp/0/0 redirect=icmp/5/1 short=28 unreachable=icmp/3/3
		types="icmp/3/0 icmp/3/1 icmp/3/3 icmp/3/4/mtu=1400 icmp/3/13 icmp/11/0 icmp/11/1 icmp/12/0"
	else
		in=fd00:50::90 out=fd00::100 to=fd00::210 router=fd00::211 vm=fd00:50::77
		gateway=fd00:50::
		request=icmp/128/0 reply=icmp/129/0 redirect=icmp/137/0 short=48 unreachable=icmp/1/4
		types="icmp/1/0 icmp/1/3 icmp/1/4 icmp/2/0/mtu=1400 icmp/3/0 icmp/3/1 icmp/4/1"
	fi
	LABEL="$hook: $1: "
}

# error_in NAME TYPE QUOTE INSIDE [OUTSIDE]: a router's error about m90's packet; INSIDE and OUTSIDE
# are the quoted packet's transport.
error_in() {
	routed "$1" wire "m100 m210 ip/$router/$out $2 $3 ip/$out/$to/ttl=60 ${5-$4}" \
		"a1=m90 $GW ip/$router/$in/ttl=63 $2 $3 ip/$in/$to/ttl=60 $4"
}

# error_out NAME TYPE QUOTE INSIDE [OUTSIDE]: m90's error about a packet of m210's.
error_out() {
	routed "$1" a1 "$GW m90 ip/$in/$to $2 $3 ip/$to/$in/ttl=60 $4" \
		"wire=m210 m100 ip/$out/$to/ttl=63 $2 $3 ip/$to/$out/ttl=60 ${5-$4}"
}

# not_in NAME ERROR: nobody gets a router's error. not_out NAME ERROR: nor m90's.
not_in() {
	routed "$1" wire "m100 m210 ip/$router/$out $2"
}

not_out() {
	routed "$1" a1 "$GW m90 ip/$in/$to $2"
}

connections() {
	crafted "UDP" out udp/4000/53
	crafted "UDP, the reply" in udp/53/4000
	crafted "TCP" out tcp/4000/80/S/100
	crafted "TCP, the reply" in tcp/80/4000/SA/900/101
	crafted "TCP, on" out tcp/4000/80/A/101/901
	crafted "echo" out $request/77
	crafted "echo, the reply" in $reply/77
}

errors() {
	local type
	for type in $types; do
		error_in "in: $type" "$type" quote udp/4000/53
		error_out "out: $type" "$type" quote udp/53/4000
	done
	for q in quote quote/$short; do
		error_in "in: TCP, $q" $unreachable "$q" tcp/4000/80/A/101/901
		error_out "out: TCP, $q" $unreachable "$q" tcp/80/4000/A/901/101
		error_in "in: echo, $q" $unreachable "$q" $request/77
	done
	error_in "in: UDP, quote/$short" $unreachable "quote/$short" udp/4000/53
	error_out "out: UDP, quote/$short" $unreachable "quote/$short" udp/53/4000
	error_in "in: UDP, cut off in its payload" $unreachable quote/$((short + 40)) udp/4000/53
	error_in "in: UDP without a checksum" $unreachable quote "udp/4000/53 zero"
	routed "out: a router's among the VMs" a1 "$GW m90 ip/$vm/$to $unreachable quote ip/$to/$in udp/53/4000" \
		"wire=m210 m100 ip/$out/$to/ttl=63 $unreachable quote ip/$to/$out udp/53/4000"
	connections_still "errors have come"
	error_in "in: a wrong transport checksum in the quote" $unreachable quote "udp/4000/53 bad"
	routed "in: a wrong checksum" wire \
		"m100 m210 ip/$router/$out $unreachable bad quote ip/$out/$to udp/4000/53"
	not_in "in: about another port" "$unreachable quote ip/$out/$to udp/4001/53"
	not_in "in: about another port there" "$unreachable quote ip/$out/$to udp/4000/54"
	not_in "in: about another server" "$unreachable quote ip/$out/$router udp/4000/53"
	not_in "in: about another protocol" "$unreachable quote ip/$out/$to proto/47"
	not_in "in: about another identifier" "$unreachable quote ip/$out/$to $request/78"
	not_in "in: about a packet to the VM" "$unreachable quote ip/$to/$out udp/53/4000"
	not_in "in: about a private address" "$unreachable quote ip/$in/$to udp/4000/53"
	not_in "in: about an error" "$unreachable quote ip/$out/$to $unreachable quote ip/$to/$out udp/53/4000"
	not_in "in: about nothing" "$unreachable"
	routed "in: to the VM's own address" wire "m100 m210 ip/$router/$in $unreachable quote ip/$in/$to udp/4000/53"
	not_out "out: about another port" "$unreachable quote ip/$to/$in udp/53/4001"
	not_out "out: about another server" "$unreachable quote ip/$router/$in udp/53/4000"
	not_out "out: about what it sent itself" "$unreachable quote ip/$in/$to udp/4000/53"
	not_out "out: about another VM's" "$unreachable quote ip/$to/$vm udp/53/4000"
	not_out "out: about nothing" "$unreachable"
	[ "$NAT" = nft ] || not_out "out: a redirect" "$redirect quote ip/$to/$in udp/53/4000"
	connections_still "what is not known was dropped"
}

# connections_still NAME: mappings are as they were.
connections_still() {
	crafted "$1: UDP" out udp/4000/53
	crafted "$1: UDP, back" in udp/53/4000
	crafted "$1: TCP" out tcp/4000/80/A/101/901
	crafted "$1: TCP, back" in tcp/80/4000/A/901/101
	crafted "$1: echo" out $request/77
	crafted "$1: echo, back" in $reply/77
}

# IPv4 alone: header checksums, and options in front of what is looked for.
options() {
	local o=options=01010101
	[ "$NAT" = nft ] || not_in "in: a wrong header checksum in the quote" \
		"$unreachable quote ip/$out/$to/sum=bad udp/4000/53"
	routed "in: options in the quote" wire "m100 m210 ip/$router/$out icmp/3/3 quote ip/$out/$to/$o udp/4000/53" \
		"a1=m90 $GW ip/$router/$in/ttl=63 icmp/3/3 quote ip/$in/$to/$o udp/4000/53"
	routed "in: options of the error" wire "m100 m210 ip/$router/$out/$o icmp/3/3 quote ip/$out/$to udp/4000/53" \
		"a1=m90 $GW ip/$router/$in/$o/ttl=63 icmp/3/3 quote ip/$in/$to udp/4000/53"
	crafted "options" out udp/4000/53 /$o
	crafted "options, back" in udp/53/4000 /$o
}

# Tags are the network's, not the wire's.
tags() {
	local packet="ip/$in/$to udp/4000/53"
	routed "a priority tag ends at the gateway" a1 "$GW m90 8100:2000 $packet" \
		"wire=m210 m100 ip/$out/$to/ttl=63 udp/4000/53"
	routed "two of them lead nowhere" a1 "$GW m90 8100:0000 8100:0000 $packet"
	routed "nor does a VLAN" a1 "$GW m90 8100:000a $packet"
	routed "a priority tag of the wire's ends there, too" wire "m100 m210 8100:2000 ip/$to/$out udp/53/4000" \
		"a1=m90 $GW ip/$to/$in/ttl=63 udp/53/4000"
	[ "$NAT" = nft ] || routed "and does not lead to the gateway's address" wire \
		"m100 m210 8100:0000 ip/$router/$gateway proto/231"
}

# Another port outside than inside.
changed() {
	forward udp - 5353 "$in" 53
	routed "a forward" wire "m100 m210 ip/$to/$out udp/7000/5353" "a1=m90 $GW ip/$to/$in/ttl=63 udp/7000/53"
	routed "its reply" a1 "$GW m90 ip/$in/$to udp/53/7000" "wire=m210 m100 ip/$out/$to/ttl=63 udp/5353/7000"
	for type in $types; do
		error_in "in: of another port, $type" "$type" quote udp/53/7000 udp/5353/7000
		error_out "out: of another port, $type" "$type" quote udp/7000/53 udp/7000/5353
	done
	error_in "in: of another port, quote/$short" $unreachable "quote/$short" udp/53/7000 udp/5353/7000
	error_out "out: of another port, quote/$short" $unreachable "quote/$short" udp/7000/53 udp/7000/5353
	if [ "$NAT" = nft ]; then must ns host nft flush chain inet nat pre; else forward_del udp - 5353; fi
}

# Errors of real kernels.
real() {
	local wire=10.0.0.200 far=203.0.113.2 gateway=192.168.50.1
	[ "$1" = IPv4 ] || wire=fd00::200 far=fd01::2 gateway=fd00:50::1
	check "port unreachable at the wire" udp_refused a1 $wire 9
	check "port unreachable far away" udp_refused a2 $far 9
	check "port unreachable at the gateway" udp_refused a1 $gateway 9
	check "port unreachable at a VM, for the host" udp_refused host "${in%90}11" 9
	check "port unreachable at the wire, for the host" udp_refused host $wire 9
	check "port unreachable at the host, for the wire" udp_refused wire $out 9
	forward udp - 5354 "${in%90}11" 54
	check "port unreachable behind a forward" udp_refused wire $out 5354
	check "port unreachable behind a forward, far away" udp_refused far $out 5354
	check "port unreachable behind a forward, for a VM" udp_refused a2 $out 5354
	check "port unreachable behind a forward, for the host" udp_refused host $out 5354
}

# ---- the path's MTU ----

path() {
	local far=203.0.113.2 net=203.0.113.0/24 router=10.0.0.200
	[ "$1" = IPv4 ] || far=fd01::2 net=fd01::/64 router=fd00::200
	must ip -n "$P-wire" link set far0 mtu 1300
	check "a stream finds the path's MTU" transfer a1 far $far 2
	check "the router's error has come" eval "ip -n $P-a1 route get $far | grep 'mtu 1300'"
	must ip -n "$P-wire" link set far0 mtu 1500
	# without lock, bpf_fib_lookup does not see it in IPv4
	must ip -n "$P-host" route replace $net via $router mtu lock 1400
	ns a2 ping -q -c 2 -i 0.1 -W 0.5 -M "do" -s 1430 $far >/dev/null
	check "the host's route has another MTU" eval "ip -n $P-a2 route get $far | grep 'mtu 1400'"
	must ip -n "$P-host" route del $net
	wider $router
}

# A VM whose MTU is larger than the uplink's.
wider() {
	must ip -n "$P-host" link set dev a2 mtu 3000
	must ip -n "$P-a2" link set dev eth0 mtu 3000
	[[ $1 = *:* ]] || check "too large for the uplink, without DF: fragments" pings a2 "$1" -s 2000 -M dont
	ns a2 ping -q -c 2 -i 0.1 -W 0.5 -M "do" -s 2000 "$1" >/dev/null
	check "with DF: the VM learns the uplink's MTU" eval "ip -n $P-a2 route get $1 | grep 'mtu 1500'"
	must ip -n "$P-a2" link set dev eth0 mtu 1500
	must ip -n "$P-host" link set dev a2 mtu 1500
}

# ---- fragments ----

ident=100

# pieces ETHERNET PACKET TRANSPORT ORDER: fragments as frag.sh has them, of 1400 octets.
pieces() {
	local i out='' parts=('' part/0/512 part/512/1024 part/1024)
	for ((i = 0; i < ${#4}; i++)); do
		out+="${out:+;}$1 $2 $3 ${parts[${4:i:1}]} +1400"
	done
	echo "$out"
}

fragments() {
	local order
	for order in 123 132 213 321; do
		((++ident))
		routed "fragments out, $order" a1 "$(pieces "$GW m90" "ip/$in/$to/id=$ident" udp/4000/53 $order)" \
			"wire=$(pieces "m210 m100" "ip/$out/$to/id=$ident/ttl=63" udp/4000/53 123)"
		((++ident))
		routed "fragments in, $order" wire "$(pieces "m100 m210" "ip/$to/$out/id=$ident" udp/53/4000 $order)" \
			"a1=$(pieces "m90 $GW" "ip/$to/$in/id=$ident/ttl=63" udp/53/4000 123)"
	done
	((++ident))
	routed "fragments of TCP out" a1 "$(pieces "$GW m90" "ip/$in/$to/id=$ident" tcp/4000/80/A/101/901 123)" \
		"wire=$(pieces "m210 m100" "ip/$out/$to/id=$ident/ttl=63" tcp/4000/80/A/101/901 123)"
	((++ident))
	routed "fragments of an echo out" a1 "$(pieces "$GW m90" "ip/$in/$to/id=$ident" $request/77 132)" \
		"wire=$(pieces "m210 m100" "ip/$out/$to/id=$ident/ttl=63" $request/77 123)"
	((++ident))
	routed "of no connection" wire "$(pieces "m100 m210" "ip/$to/$out/id=$ident" udp/53/4001 123)" "wire=*"
	((++ident))
	routed "from another port" wire "$(pieces "m100 m210" "ip/$to/$out/id=$ident" udp/54/4000 123)" "wire=*"
	((++ident))
	routed "without the first" wire "$(pieces "m100 m210" "ip/$to/$out/id=$ident" udp/53/4000 23)"
	((++ident))
	routed "without the first, out" a1 "$(pieces "$GW m90" "ip/$in/$to/id=$ident" udp/4000/53 23)"
	[ "$NAT" = nft ] || new_in_fragments
}

# A first packet that opens a connection, and one for a forward.
new_in_fragments() {
	((++ident))
	routed "a new connection in fragments" a1 "$(pieces "$GW m90" "ip/$in/$to/id=$ident" udp/4002/53 213)" \
		"wire=$(pieces "m210 m100" "ip/$out/$to/id=$ident/ttl=63" udp/4002/53 123)"
	forward udp - 5355 "$in" 55
	((++ident))
	routed "for a forward, in fragments" wire "$(pieces "m100 m210" "ip/$to/$out/id=$ident" udp/53/5355 123)" \
		"a1=$(pieces "m90 $GW" "ip/$to/$in/id=$ident/ttl=63" udp/53/55 123)"
	((++ident))
	routed "its answer in fragments" a1 "$(pieces "$GW m90" "ip/$in/$to/id=$ident" udp/55/53 123)" \
		"wire=$(pieces "m210 m100" "ip/$out/$to/id=$ident/ttl=63" udp/5355/53 123)"
	forward_del udp - 5355
}

large() {
	local wire=10.0.0.200 far=203.0.113.2 gateway=192.168.50.1
	[ "$1" = IPv4 ] || wire=fd00::200 far=fd01::2 gateway=fd00:50::1
	check "a ping in fragments" pings a1 $wire -s 4000
	check "a ping in fragments, far" pings a2 $far -s 20000
	check "a ping in fragments to the gateway" pings a1 $gateway -s 4000
	check "the host's ping in fragments" pings host $wire -s 4000
	check "a ping in fragments to the host" pings wire $out -s 4000
	check "the host's ping in fragments to a VM" pings host "${in%90}11" -s 4000
}

# An error does not make a connection last longer.
lasts() {
	must x flow flush
	crafted "a new echo" out $request/99
	sleep 2.1
	error_in "an error about it" $unreachable quote $request/99
	json "is no use of it" 'map(select(.nat_port == 99)) | length == 1 and .[0].expires <= 58' flow show
}

for hook in $HOOKS; do
	nat_lab "$hook"
	for version in IPv4 IPv6; do
		family $version
		craft_lab
		connections
		errors
		[ $version = IPv6 ] || options
		[ "$NAT" = nft ] || tags
		changed
		# the kernel puts fragments together, and makes others
		[ "$NAT $version" = "nft IPv6" ] || fragments
		[ "$NAT" = nft ] || lasts
		frames_close
		real $version
		large $version
		path $version
	done
	LABEL="$hook: "
	nat_down
done
finish

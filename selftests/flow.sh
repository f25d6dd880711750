#!/bin/bash
# flow.sh - connections: replies and related errors pass, what belongs to none does not; states,
# limits, time-outs, and the commands; with the hooks tc and xdp. TCP is in flow_tcp.sh.
#
#     v1 ┐
#     v2 ┼ lan (bridge) ─ nic0 ── wire, a router ── far 10.1.0.2 (MTU 1300 to it)
#     v3 ┘
#
# Crafted packets have addresses that no namespace has (10.9.0.N, fd09::N), so that no kernel
# answers them. v2 is who must not be called: it has `policy-in deny`.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# there: v1's packets to v2; back: v2's to v1
there=ip/10.9.0.1/10.9.0.2 back=ip/10.9.0.2/10.9.0.1
there6=ip/fd09::1/fd09::2 back6=ip/fd09::2/fd09::1

# udp_refused FROM ADDRESS: a connected UDP socket hears at once that nobody listens.
udp_refused() {
	ns "$1" /usr/bin/python3 - "$2" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
		s.settimeout(2)
		s.connect((sys.argv[1], 9))
		try:
		    s.send(b"?")
		    s.recv(1)
		except ConnectionRefusedError:
		    sys.exit(0)
		sys.exit("no error came")
	END
}

# ---- replies ----

# replies NAME THERE BACK TRANSPORT REVERSE OTHER: v2 sends TRANSPORT to v1; then REVERSE comes
# back, which did not before; OTHER does not.
replies() {
	local other
	frame "$1: unasked" v1 "m2 m1 $2 $5"
	frame "$1: v2 begins" v2 "m1 m2 $3 $4" v1
	frame "$1: the reply" v1 "m2 m1 $2 $5" v2
	frame "$1: another reply" v1 "m2 m1 $2 $5" v2
	frame "$1: goes on" v2 "m1 m2 $3 $4" v1
	[ -z "$6" ] || frame "$1: something else" v1 "m2 m1 $2 $6"
	other=${2/10.9.0.1/10.9.0.7}
	frame "$1: from somebody else" v1 "m2 m1 ${other/fd09::1/fd09::7} $5"
}

protocols() {
	must x port set dev v2 policy-in deny
	replies "UDP" $there $back udp/1000/7 udp/7/1000 udp/7/1001
	replies "UDP, IPv6" $there6 $back6 udp/1000/7 udp/7/1000 udp/8/1000
	replies "TCP" $there $back tcp/1000/80/S/100 tcp/80/1000/SA/900/147 tcp/80/1001/SA/900/147
	replies "TCP, IPv6" $there6 $back6 tcp/1000/80/S/100 tcp/80/1000/SA/900/147 tcp/81/1000/SA/900/147
	replies "echo" $there $back icmp/8/0/77 icmp/0/0/77 icmp/0/0/78
	replies "echo, IPv6" $there6 $back6 icmp/128/0/77 icmp/129/0/77 icmp/129/0/78
	replies "SCTP" $there $back sctp/1000/9 sctp/9/1000 ""
	replies "GRE" $there $back proto/47 proto/47 proto/50
	replies "GRE, IPv6" $there6 $back6 proto/47 proto/47 proto/50
	replies "a number" $there $back proto/253 proto/253 udp/7/1002
	frame "an echo request is no reply" v1 "m2 m1 $there icmp/8/0/77"
	frame "nor is one to another VM" v1 "m3 m1 ip/10.9.0.1/10.9.0.3 udp/7/1000" v3
	frame "behind extension headers" v1 "m2 m1 $there6 hbh dstopts/1 udp/7/1000" v2
	clear_lists
}

# ---- errors ----

# errors NAME ROUTER TO-V2 TO-V1 THERE BACK OTHER TYPES: errors about v2's packets come from a
# router.
errors() {
	local type router=ip/$2/$3 there=$5 back=$6 other=$7
	frame "$1: a connection" v2 "m1 m2 $back udp/1000/7" v1
	for type in $8; do
		frame "$1: $type" wire "m2 m200 $router $type quote $back udp/1000/7" v2
	done
	type=${8%% *}
	frame "$1: about a reply" wire "m1 m200 ip/$2/$4 $type quote $there udp/7/1000" v1
	frame "$1: about nothing" wire "m2 m200 $router $type"
	frame "$1: about another port" wire "m2 m200 $router $type quote $back udp/1001/7"
	frame "$1: about another port there" wire "m2 m200 $router $type quote $back udp/1000/8"
	frame "$1: about another protocol" wire "m2 m200 $router $type quote $back tcp/1000/7/S"
	frame "$1: about somebody else" wire "m2 m200 $router $type quote $other udp/1000/7"
	frame "$1: about what v2 did not send" wire "m2 m200 $router $type quote $there udp/7/1000"
	frame "$1: to another address than its packet's" wire "m2 m200 ip/$2/${3%2}3 $type quote $back udp/1000/7"
	frame "$1: about an error" wire "m2 m200 $router $type quote $back $type quote $there udp/7/1000"
	frame "$1: still a connection" v1 "m2 m1 $there udp/7/1000" v2
}

related() {
	must x port set dev v2 policy-in deny
	must x port set dev v1 policy-in deny
	rules dev v1 in "proto udp dport 7 allow" "proto icmp icmp-type 8 allow" "proto 47 allow"
	errors "errors" 10.9.0.254 10.9.0.2 10.9.0.1 $there $back ip/10.9.0.9/10.9.0.1 \
		"icmp/3/3 icmp/3/4 icmp/3/13 icmp/11/0 icmp/12/0"
	errors "errors, IPv6" fd09::fe fd09::2 fd09::1 $there6 $back6 ip/fd09::9/fd09::1 \
		"icmp/1/4 icmp/2/0 icmp/3/0 icmp/4/1"
	frame "an echo" v2 "m1 m2 $back icmp/8/0/99" v1
	frame "error about an echo" wire "m2 m200 ip/10.9.0.254/10.9.0.2 icmp/11/0 quote $back icmp/8/0/99" v2
	frame "error about another echo" wire "m2 m200 ip/10.9.0.254/10.9.0.2 icmp/11/0 quote $back icmp/8/0/98"
	frame "a packet of protocol 47" v2 "m1 m2 $back proto/47" v1
	frame "error about it" wire "m2 m200 ip/10.9.0.254/10.9.0.2 icmp/3/2 quote $back proto/47" v2
	frame "an error opens nothing" v1 "m2 m1 ip/10.9.0.254/10.9.0.2 udp/7/1000"
	clear_lists
}

# Real errors of a router with a narrow way behind it.
router() {
	local address
	netns far
	must ip -n "$P-wire" link add far0 mtu 1300 type veth peer name eth0 netns "$P-far"
	for address in 10.1.0.1/24 fd01::1/64; do must ip -n "$P-wire" address add $address dev far0; done
	for address in 10.1.0.2/24 fd01::2/64; do must ip -n "$P-far" address add $address dev eth0; done
	must ip -n "$P-wire" link set far0 up
	must ip -n "$P-far" link set eth0 up
	must ip -n "$P-far" route add default via 10.1.0.1
	must ip -n "$P-far" route add default via fd01::1
	must ns wire sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0
	must ip -n "$P-v2" route add 10.1.0.0/24 via 10.0.0.200
	must ip -n "$P-v2" route add fd01::/64 via fd00::200
	must x port set dev v2 policy-in deny
	check "far behind the router" pings v2 10.1.0.2
	check "far behind the router, IPv6" pings v2 fd01::2
	check "port unreachable" udp_refused v2 10.1.0.2
	check "port unreachable, IPv6" udp_refused v2 fd01::2
	check "time exceeded" exceeded v2 10.1.0.2
	check "time exceeded, IPv6" exceeded v2 fd01::2
	check "a stream finds the path's MTU" transfer v2 far 10.1.0.2 4
	check "frag needed has come" eval 'ns v2 ip route get 10.1.0.2 | grep "mtu 1300"'
	check "a stream finds the path's MTU, IPv6" transfer v2 far fd01::2 4
	check "packet too big has come" eval 'ns v2 ip -6 route get fd01::2 | grep "mtu 1300"'
	clear_lists
}

exceeded() {
	local seen
	seen=$(ns "$1" ping -c 1 -W 1 -t 1 "$2")
	grep -iE 'time to live exceeded|hop limit' <<<"$seen"
}

# ---- states ----

states() {
	rules dev v2 in "state invalid deny" "allow"
	frame "invalid: RST of no connection" v1 "m2 m1 $there tcp/%/80/R/5"
	frame "invalid: echo reply, unasked" v1 "m2 m1 $there icmp/0/0/%"
	frame "invalid: error about nothing" v1 "m2 m1 $there icmp/3/3 quote $back udp/%/7"
	frame "invalid: all flags" v1 "m2 m1 $there6 tcp/%/80/FSRPAU/5/5"
	frame "invalid: no flags" v1 "m2 m1 $there6 tcp/%/80/-/5/5"
	frame "not invalid: SYN" v1 "m2 m1 $there6 tcp/%/80/S/5" v2
	frame "not invalid: a stream's middle" v1 "m2 m1 $there tcp/2001/80/A/5/5" v2
	frame "nor its answer" v2 "m1 m2 $back tcp/80/2001/A/5/51" v1
	frame "not invalid: what is no connection's" v1 "m2 m1 88b5" v2
	frame "a UDP connection" v1 "m2 m1 $there udp/2002/7" v2
	frame "answered" v2 "m1 m2 $back udp/7/2002" v1
	frame "a TCP connection, unanswered" v1 "m2 m1 $there tcp/2003/80/S/5" v2
	rules dev v2 in "state new deny" "allow"
	frame "new: SYN" v1 "m2 m1 $there tcp/%/80/S/5"
	frame "new: a stream's middle" v1 "m2 m1 $there tcp/%/80/A/5/5"
	frame "new: UDP" v1 "m2 m1 $there6 udp/%/7"
	frame "new: an echo" v1 "m2 m1 $there6 icmp/128/0/%"
	frame "not new: an answered one" v1 "m2 m1 $there udp/2002/7" v2
	frame "not new: an error about it" v1 "m2 m1 $there icmp/3/3 quote $back udp/7/2002" v2
	rules dev v2 in "state established allow" "deny"
	frame "established" v1 "m2 m1 $there udp/2002/7" v2
	frame "not established" v1 "m2 m1 $there udp/%/7"
	rules dev v2 in "state established deny" "state new deny" "allow"
	frame "established, denied" v1 "m2 m1 $there udp/2002/7"
	rules dev v2 in "state related allow" "state established allow" "deny"
	frame "established, beside others" v1 "m2 m1 $there udp/2002/7" v2
	frame "related" v1 "m2 m1 $there icmp/3/3 quote $back udp/7/2002" v2
	frame "related by its inner header" v1 "m2 m1 $there icmp/3/3 quote $back udp/7/2009"
	clear_lists
}

# ---- limits ----

limits() {
	local before
	must x port set dev v1 conn-max 3
	json "conn-max is shown" '.[0].conn_max == 3' port show dev v1
	for n in 1 2 3; do frame "connection $n of 3" v1 "m2 m1 $there udp/500$n/7" v2; done
	before=$(drops v1 conn_max)
	frame "a fourth" v1 "m2 m1 $there udp/5004/7"
	equal "is counted" "$(drops v1 conn_max)" $((before + 1))
	frame "one of the three" v1 "m2 m1 $there udp/5001/7" v2
	frame "and its answer" v2 "m1 m2 $back udp/7/5001" v1
	frame "who is called owns nothing" v2 "m1 m2 $back udp/%/8" v1
	frame "nor another VM" v3 "m2 m3 ip/10.9.0.3/10.9.0.2 udp/5004/7" v2
	must x flow flush src 10.9.0.1 dst 10.9.0.2
	frame "room again" v1 "m2 m1 $there udp/5004/7" v2
	must x port set dev v1 conn-max 4
	for n in 5 6 7; do frame "up to a larger limit, $n" v1 "m2 m1 $there6 udp/500$n/7" v2; done
	frame "and no more" v1 "m2 m1 $there6 udp/5008/7"
	must x port set dev v1 conn-max none
	frame "no limit" v1 "m2 m1 $there udp/5009/7" v2
	clear_lists
}

# ---- the commands ----

# count NAME NUMBER FILTER...
count() {
	local name=$1 n=$2
	shift 2
	json "$name" "length == $n" flow show "$@"
	json "$name: count" ".count == $n" flow count "$@"
}

commands() {
	for vm in v1 v2 v3; do must x acl add dev $vm out allow; done
	frame "open udp" v1 "m2 m1 $there udp/6001/53 +100" v2
	frame "answer udp" v2 "m1 m2 $back udp/53/6001 +200" v1
	frame "open udp6" v1 "m2 m1 $there6 udp/6002/53" v2
	frame "open tcp" v2 "m1 m2 $back tcp/6003/80/S/1" v1
	frame "open echo" v3 "m2 m3 ip/10.9.0.3/10.9.0.2 icmp/8/0/604" v2
	frame "open echo6" v3 "m2 m3 ip/fd09::3/fd09::2 icmp/128/0/605" v2
	frame "answer echo6" v2 "m3 m2 ip/fd09::2/fd09::3 icmp/129/0/605" v3
	frame "open gre" v3 "m200 m3 ip/10.9.0.3/10.9.0.200 proto/47" wire
	flow_is "keys" 6001 '.network == "lan" and .dev == "v1" and .proto == "udp" and .src == "10.9.0.1" and
		.dst == "10.9.0.2" and .dport == 53 and .nat_addr == null and .nat_port == null and
		.packets == 2 and .bytes == 384 and .age <= 5'
	flow_is "UDP answered: 300 s" 6001 '.expires > 290 and .expires <= 300'
	flow_is "UDP unanswered: 30 s" 6002 '.expires > 20 and .expires <= 30'
	flow_is "TCP opening: 240 s" 6003 '.expires > 230 and .expires <= 240 and .proto == "tcp" and .dev == "v2"'
	json "echo: 60 s" '[.[] | select(.proto == "icmp") |
		.expires > 50 and .expires <= 60] == [true]' flow show src 10.9.0.3
	json "echo, IPv6: 60 s" 'length == 1 and .[0].expires > 50 and .[0].expires <= 60' flow show proto icmp6
	json "others: 600 s" 'length == 1 and .[0].expires > 590 and .[0].expires <= 600' flow show proto 47
	count "all" 6
	count "by network" 6 network lan
	count "by port, at either end" 3 dev v1
	count "by protocol" 2 proto udp
	count "by source" 1 src 10.9.0.2
	count "by source, a prefix" 4 src 10.9.0.0/24
	count "by source, IPv6" 2 src fd09::/64
	count "by destination" 2 dst 10.9.0.2
	count "by two" 1 dst fd09::2 proto udp
	count "none" 0 dst 10.9.0.99
	json "unanswered ones" '.half_open == 4' flow count
	check "text has the addresses" eval 'x flow show | grep -F 10.9.0.3 | grep -F 10.9.0.200'
	check "flush some" x flow flush proto udp src fd09::1
	count "the others stay" 5
	check "flush by port" x flow flush dev v3
	count "the others stay again" 2
	check "flush all" x flow flush
	count "nothing stays" 0
	refused "no such network" 1 nowhere flow show network nowhere
	refused "no such port" 1 nowhere flow flush dev nowhere
	refused "no such protocol" 2 tpc flow show proto tpc
	refused "no such address" 2 10.0.0.300 flow count src 10.0.0.300
	refused "no such word" 2 sport flow show sport 7
	clear_lists
	must x port set dev v2 policy-in deny
	frame "v2 begins" v2 "m1 m2 $back udp/6010/7" v1
	frame "the reply" v1 "m2 m1 $there udp/7/6010" v2
	must x flow flush
	frame "no reply after a flush" v1 "m2 m1 $there udp/7/6010"
	clear_lists
	frame "nothing is tracked where nothing judges" v1 "m2 m1 $there udp/6011/7" v2
	count "nothing tracked" 0
}

# ---- changes ----

ports() {
	must x port set dev v2 policy-in deny
	frame "v2 begins" v2 "m1 m2 $back udp/7001/7" v1
	frame "the reply" v1 "m2 m1 $there udp/7/7001" v2
	must x port del dev v2
	must x port add lan dev v2 policy-in deny hook "$hook"
	repeat v2 1 "bc m2 88b5"
	frame "no reply to a port that was removed meanwhile" v1 "m2 m1 $there udp/7/7001"
	frame "v2 begins anew" v2 "m1 m2 $back udp/7001/7" v1
	frame "the reply again" v1 "m2 m1 $there udp/7/7001" v2
	must x port del dev v1
	must x port add lan dev v1 hook "$hook"
	repeat v1 1 "bc m1 88b5"
	frame "the other end was removed: not a reply either" v1 "m2 m1 $there udp/7/7001"
	clear_lists
}

# Addresses and ports that several connections have.
twins() {
	local tag
	must x port set dev v2 policy-in deny
	for tag in 8100:000a 8100:0014; do
		repeat v1 1 "bc m1 $tag 88b5"
		repeat v2 1 "bc m2 $tag 88b5"
	done
	frame "VLAN 10: begins" v2 "m1 m2 8100:000a $back udp/8001/7" v1
	frame "VLAN 20: no reply of its" v1 "m2 m1 8100:0014 $there udp/7/8001"
	frame "no VLAN: no reply of its" v1 "m2 m1 $there udp/7/8001"
	frame "VLAN 10: the reply" v1 "m2 m1 8100:000a $there udp/7/8001" v2
	frame "VLAN 20: begins" v2 "m1 m2 8100:0014 $back udp/8001/7" v1
	json "two connections" '[.[] | select(.sport == 8001)] | length == 2' flow show
	must x network add lan2 mode internal
	netns w1
	netns w2
	for n in 1 2; do
		must ip -n "$P-host" link add name w$n type veth peer name eth0 address "$(mac $n)" netns "$P-w$n"
		must ip -n "$P-host" link set w$n up
		must ip -n "$P-w$n" link set eth0 up
		must x port add lan2 dev w$n hook "$hook" policy-in deny
	done
	gro w1 w2
	frames v1 v2 v3 wire dev:nic0 w1 w2
	for n in 1 2; do repeat w$n 1 "bc m$n 88b5"; done
	frame "a network: begins" v2 "m1 m2 $back udp/8002/7" v1
	frame "another: no reply of its" w1 "m2 m1 $there udp/7/8002"
	must x port set dev w1 policy-in allow
	frame "another: begins" w2 "m1 m2 $back udp/8002/7" w1
	frame "another: the reply" w1 "m2 m1 $there udp/7/8002" w2
	frame "the first: the reply" v1 "m2 m1 $there udp/7/8002" v2
	json "one is shown for each" 'map(select(.sport == 8002).network) | sort == ["lan", "lan2"]' flow show
	count "by network" 1 network lan2
	must x flow flush network lan2
	frame "flushed here" w1 "m2 m1 $there udp/7/8002"
	frame "and not there" v1 "m2 m1 $there udp/7/8002" v2
	clear_lists
}

for hook in tc xdp; do
	LABEL="$hook: "
	lan $hook
	protocols
	related
	router
	states
	limits
	commands
	ports
	twins
	down
done
finish

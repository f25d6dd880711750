#!/bin/bash
# flow_tcp.sh - TCP connections: of real kernels, where one may not be called; windows, against
# forged segments; a flood of half-open ones; live ones when lists change; with the hooks tc
# and xdp.
#
#     v1 ┐
#     v2 ┼ lan (bridge) ─ nic0 ── wire, and the host
#     v3 ┘
#
# Crafted packets have addresses that no namespace has (10.9.0.N, fd09::N), so that no kernel
# answers them. v2 is who must not be called: it has `policy-in deny`.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# there: v1's packets to v2; back: v2's to v1
there=ip/10.9.0.1/10.9.0.2 back=ip/10.9.0.2/10.9.0.1

# tcp ADDRESS: its port 5002 in socat's words.
tcp() {
	if [[ $1 == *:* ]]; then echo "TCP6:[$1]:5002"; else echo "TCP4:$1:5002"; fi
}

# connects FROM TO ADDRESS: a TCP connection can be opened and carries a line.
connects() {
	local server seen
	spawn "$2" timeout 5 socat -u "TCP6-LISTEN:5002,reuseaddr,ipv6only=0" STDOUT >"$T/line"
	server=$!
	listening "$2" 5002
	seen=$(echo hello | ns "$1" timeout 1 socat -u - "$(tcp "$3")" 2>&1)
	[ -n "$seen" ] || sleep 0.1
	end "$server"
	[ "$(cat "$T/line")" = hello ] || { echo "$seen" && return 1; }
}

# echo_start FROM TO ADDRESS: a TCP connection on which a line goes there and back all the time.
echo_start() {
	spawn "$2" socat "TCP6-LISTEN:5002,reuseaddr,ipv6only=0" PIPE
	echo_server=$!
	listening "$2" 5002
	# shellcheck disable=SC2016 # the other bash expands
	spawn "$1" bash -c 'while echo line; do sleep 0.02; done | socat - "$1" >"$2"' - "$(tcp "$3")" "$T/echo"
	echo_client=$!
	eventually "a connection carries lines" 3 test -s "$T/echo"
}

# Ten lines and more come back within three seconds.
echo_moves() {
	local size
	size=$(stat -c %s "$T/echo")
	for _ in {1..60}; do
		[ "$(stat -c %s "$T/echo")" -lt $((size + 50)) ] || return 0
		sleep 0.05
	done
	return 1
}

echo_stands() {
	local size
	sleep 0.2
	size=$(stat -c %s "$T/echo")
	sleep 0.8
	[ "$(stat -c %s "$T/echo")" = "$size" ]
}

echo_end() {
	local children
	children=$(ps -o pid= --ppid "$echo_client")
	end "$echo_client"
	# shellcheck disable=SC2086 # a list
	kill $children 2>/dev/null
	end "$echo_server"
	: >"$T/echo"
}

stacks() {
	must x port set dev v2 policy-in deny
	check "VM -> VM, TCP" transfer v2 v1 10.0.0.1 16
	check "VM -> VM, TCP, IPv6" transfer v2 v1 fd00::1 16
	check "VM -> wire, TCP" transfer v2 wire 10.0.0.200 16
	check "VM -> host, TCP, IPv6" transfer v2 host fd00::100 16
	check "VM -> VM, echo" pings v2 10.0.0.1
	check "VM -> wire, echo, IPv6" pings v2 fd00::200
	check "VM -> host, echo" pings v2 10.0.0.100
	check "VM -> wire, echo in fragments" pings v2 10.0.0.200 -s 4000
	check "VM -> VM, echo in fragments, IPv6" pings v2 fd00::1 -s 4000
	check_not "not called by a VM" connects v1 v2 10.0.0.2
	check_not "not called by the wire, IPv6" connects wire v2 fd00::2
	check_not "not called by the host" connects host v2 10.0.0.2
	check "no echo from a VM" silent v1 10.0.0.2
	check "no echo from the wire, IPv6" silent wire fd00::2
	must x port set dev v1 policy-out deny
	check "who was called answers, TCP" transfer v2 v1 10.0.0.1 16
	check "who was called answers, echo, IPv6" pings v2 fd00::1
	check_not "but calls nobody" connects v1 v3 10.0.0.3
	must x port set dev nic0 policy-in deny
	check "the wire answers" connects wire v3 10.0.0.3
	check "VM -> host, the uplink is closed" pings v2 fd00::100
	check_not "and is not called" connects v2 wire 10.0.0.200
	must x port set dev nic0 policy-in allow
	check "closed again without a loss" connects v2 wire 10.0.0.200
	rules dev v1 in "proto tcp dport 5001 allow" "deny"
	check "a list as well" transfer v2 v1 10.0.0.1 4
	check_not "what the list denies" connects v2 v1 10.0.0.1
	check "no wrong checksum anywhere" checksums_right
	clear_lists
}

# handshake SPORT: v1 opens a connection to v2's port 80; next is v1's 1001 and v2's 5001.
handshake() {
	frame "SYN $1" v1 "m2 m1 $there tcp/$1/80/S/1000 +0" v2
	frame "SYN, ACK $1" v2 "m1 m2 $back tcp/80/$1/SA/5000/1001 +0" v1
	frame "ACK $1" v1 "m2 m1 $there tcp/$1/80/A/1001/5001 +0" v2
	flow_is "established $1" "$1" '.state == "established" and .expires > 7430 and .expires <= 7440'
}

# alive SPORT SEQ ACK: v2's data still reach v1, whose policy is deny.
alive() {
	frame "$1 is alive" v2 "m1 m2 $back tcp/80/$1/PA/$2/$3 +0" v1
	flow_is "$1 is established" "$1" '.state == "established"'
}

windows() {
	local seq
	must x port set dev v1 policy-in deny
	must x port set dev v2 policy-in deny
	must x acl add dev v2 in proto tcp dport 80 allow
	handshake 3001
	for seq in 801001 4294900000 66600; do
		repeat v3 1 "m2 m3 $there tcp/3001/80/R/$seq"
		alive 3001 5001 1001
		repeat v3 1 "m2 m3 $there tcp/3001/80/RA/$seq/5001"
		repeat v3 1 "m2 m3 $there tcp/3001/80/FA/$seq/5001"
		alive 3001 5001 1001
		repeat v3 1 "m1 m3 $back tcp/80/3001/R/$((seq + 5000 & 0xffffffff))"
		repeat v3 1 "m1 m3 $back tcp/80/3001/FA/$((seq + 5000 & 0xffffffff))/1001"
		alive 3001 5001 1001
	done
	repeat v3 1 "m2 m3 $there tcp/3001/80/FA/1001/9999999"
	alive 3001 5001 1001
	repeat v3 1 "m2 m3 $there tcp/3001/80/S/77"
	alive 3001 5001 1001
	repeat v3 1 "m2 m3 $there tcp/3001/80/S/77"
	repeat v3 1 "m2 m3 $there tcp/3001/80/FA/900/5001"
	repeat v3 1 "m1 m3 $back tcp/80/3001/SA/77/77"
	repeat v3 1 "m1 m3 $back tcp/80/3001/FA/88000000/1001"
	repeat v3 1 "m1 m3 $back tcp/80/3001/R/88000000"
	alive 3001 5001 1001
	frame "data" v1 "m2 m1 $there tcp/3001/80/PA/1001/5001 +1000" v2
	frame "acknowledged" v2 "m1 m2 $back tcp/80/3001/A/5001/2001 +0" v1
	frame "an old segment again" v1 "m2 m1 $there tcp/3001/80/PA/1001/5001 +1000" v2
	frame "a RST in the window" v1 "m2 m1 $there tcp/3001/80/R/2001 +0" v2
	json "ends it" 'all(.[] | select(.sport == 3001); .state != "established" and .expires <= 240)' flow show
	handshake 3002
	frame "FIN" v1 "m2 m1 $there tcp/3002/80/FA/1001/5001 +0" v2
	flow_is "half closed" 3002 '.state != "established" and .expires > 230'
	frame "data in the other direction" v2 "m1 m2 $back tcp/80/3002/PA/5001/1002 +500" v1
	frame "acknowledged" v1 "m2 m1 $there tcp/3002/80/A/1002/5501 +0" v2
	frame "the other FIN" v2 "m1 m2 $back tcp/80/3002/FA/5501/1002 +0" v1
	frame "the last ACK" v1 "m2 m1 $there tcp/3002/80/A/1002/5502 +0" v2
	json "closed" 'all(.[] | select(.sport == 3002); .expires <= 240)' flow show
	frame "the same ports again" v1 "m2 m1 $there tcp/3002/80/S/900000 +0" v2
	frame "answered" v2 "m1 m2 $back tcp/80/3002/SA/70000/900001 +0" v1
	frame "a reset by who was called" v1 "m2 m1 $there tcp/3003/80/S/1000 +0" v2
	frame "comes back" v2 "m1 m2 $back tcp/80/3003/RA/0/1001 +0" v1
	json "and ends it" 'all(.[] | select(.sport == 3003); .state != "established" and .expires <= 240)' flow show
	clear_lists
}

# Real streams while segments are forged.
forged() {
	local port
	must x port set dev v1 policy-in deny
	must x port set dev v2 policy-in deny
	must x acl add dev v2 in proto tcp dport 5001-5002 allow
	echo_start v1 v2 10.0.0.2
	port=$(ns v1 ss -Htn state established dport = :5002 | sed 's/.*10.0.0.1:\([0-9]*\).*/\1/')
	flood v3 20000 "m1 m3 ip/10.0.0.2/10.0.0.1 tcp/5002/$port/RA/%/1;m2 m3 ip/10.0.0.1/10.0.0.2 tcp/$port/5002/R/%/1"
	flow_is "a real connection outlives 20,000 forged resets" "$port" '.state == "established"'
	check "and goes on" echo_moves
	echo_end
	clear_lists
}

half_open() {
	local from
	rules dev v2 in "proto tcp allow" "proto udp dport 7 allow"
	must x port set dev v2 policy-in deny
	must x port set dev v1 policy-in deny
	handshake 4001
	echo_start v1 v2 10.0.0.2
	from="m2 m3 ip/10.9.1"
	flood v3 180000 "$from.1/10.9.0.2 tcp/%/80/S;$from.2/10.9.0.2 tcp/%/80/S;$from.3/10.9.0.2 tcp/%/80/S" others
	alive 4001 5001 1001
	check "a real connection goes on afterwards" echo_moves
	json "half-open ones are bounded" '.half_open > 1000 and .half_open <= 100000 and .max >= .count' flow count
	check "others open connections still" connects v1 v2 10.0.0.2
	frame "others open UDP connections still" v1 "m2 m1 $there udp/4002/7" v2
	frame "which are answered" v2 "m1 m2 $back udp/7/4002" v1
	frame "one of the flood's is no hindrance" v1 "m2 m1 $there tcp/4003/80/S/1000 +0" v2
	echo_end
	check "flush" x flow flush
	json "nothing is left" '.count == 0 and .half_open == 0' flow count
	clear_lists
}

others() {
	check "a real connection goes on in a flood" echo_moves
	check "others open connections in a flood" connects v1 v2 10.0.0.2
	check "a stream in a flood" transfer v1 v2 10.0.0.2 8
}

changes() {
	local address
	for address in 10.0.0.2 fd00::2; do
		must x port set dev v2 policy-in deny
		echo_start v2 v1 ${address/2/1}
		must x acl add dev v2 in proto tcp dport 22 allow
		check "$address: who calls is answered still when its list changes" echo_moves
		must x acl add dev v1 in proto tcp dport 22 deny
		check "$address: or the other end's" echo_moves
		must x port set dev v1 policy-out deny
		check "$address: or the other end's policy" echo_moves
		must x acl add dev v2 out proto tcp deny
		check "$address: a deny of what it sends stops it" echo_stands
		echo_end
		clear_lists
		must x port set dev v2 policy-in deny
		must x acl add dev v2 in prio 10 proto tcp dport 5002 allow
		echo_start v1 v2 $address
		must x acl add dev v2 in prio 5 proto tcp dport 22 deny
		must x acl add dev v3 out deny
		check "$address: another rule is no matter" echo_moves
		must x acl add dev v2 in prio 6 proto tcp dport 5002 deny
		check "$address: a deny stops it" echo_stands
		must x acl del dev v2 in prio 6
		check "$address: without it, it goes on" echo_moves
		if [ $address = fd00::2 ]; then break; fi
		must x acl add network lan out proto tcp dport 5002 deny
		check "$address: the network's stops it" echo_stands
		must x acl del network lan out all
		check "$address: and lets it go on" echo_moves
		must x acl del dev v2 in prio 10
		check "$address: no rule, the policy stops it" echo_stands
		must x port set dev v2 policy-in allow
		check "$address: and lets it go on" echo_moves
		echo_end
		clear_lists
	done
	echo_end
	clear_lists
}

ends() {
	must x port set dev v2 policy-in deny
	echo_start v2 v1 10.0.0.1
	flood v3 40000 "m2 m3 ip/10.9.1.1/10.9.0.2 tcp/%/80/S" x detach
	check "detach under traffic leaves nothing" test ! -e "$(pins host)"
	echo_end
}

for hook in tc xdp; do
	LABEL="$hook: "
	lan $hook
	stacks
	windows
	forged
	half_open
	changes
	ends
	down
done
finish

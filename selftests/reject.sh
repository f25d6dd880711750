#!/bin/bash
# reject.sh - what a rule rejects is answered: TCP by RST, the rest by port unreachable, with right
# numbers, checksums and tags, and never where no answer may be; with the hooks tc and xdp.
#
#     v1      ┐
#     v2      ┼ lan (bridge) ─ nic0 ── wire, and the host
#     v3      ┘
#
# Crafted packets have addresses that no namespace has (10.9.0.N, fd09::N).

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# introduce [TAG]: v1 and v2 speak, so that unicast is known.
introduce() {
	repeat v1 1 "bc m1 ${1-} 88b5"
	repeat v2 1 "bc m2 ${1-} 88b5"
}

notes() {
	x -j stats | jq "[.[] | .notes.$1] | add"
}

# rejected NAME FROM M N [TAG]: all kinds of answers to FROM (mM) for what it sends to mN.
rejected() {
	local name=$1 from=$2 m=$3 n=$4 t=${5:+$5 } a b
	for a in ip/10.9.0.1/10.9.0.2 ip/fd09::1/fd09::2; do
		b=ip/10.9.0.2/10.9.0.1
		[[ $a != *:* ]] || b=ip/fd09::2/fd09::1
		answer "$name, SYN" "$from" "m$n m$m $t$a tcp/%/80/S/100 +0" "m$m m$n $t$b tcp/80/%/RA/0/101"
		answer "$name, SYN with data" "$from" "m$n m$m $t$a tcp/%/80/S/4294967290 +100" \
			"m$m m$n $t$b tcp/80/%/RA/0/95"
		answer "$name, data" "$from" "m$n m$m $t$a tcp/%/80/PA/100/900 +77" "m$m m$n $t$b tcp/80/%/R/900/0"
		answer "$name, FIN" "$from" "m$n m$m $t$a tcp/%/80/FA/100/901 +0" "m$m m$n $t$b tcp/80/%/R/901/0"
		answer "$name, RST: no answer" "$from" "m$n m$m $t$a tcp/%/80/R/100 +0"
		if [[ $a == *:* ]]; then
			answer "$name, UDP, IPv6" "$from" "m$n m$m $t$a udp/%/80 +40" \
				"m$m m$n $t$b icmp/1/4 quote $a udp/%/80"
			answer "$name, UDP, IPv6, long" "$from" "m$n m$m $t$a udp/%/80 +1400" \
				"m$m m$n $t$b icmp/1/4 quote $a udp/%/80"
			answer "$name, echo, IPv6" "$from" "m$n m$m $t$a icmp/128/0/%" \
				"m$m m$n $t$b icmp/1/4 quote $a icmp/128/0"
		else
			answer "$name, UDP" "$from" "m$n m$m $t$a udp/%/80 +40" \
				"m$m m$n $t$b icmp/3/3 quote $a udp/%/80"
			answer "$name, UDP, long" "$from" "m$n m$m $t$a udp/%/80 +1400" \
				"m$m m$n $t$b icmp/3/3 quote $a udp/%/80"
			answer "$name, echo" "$from" "m$n m$m $t$a icmp/8/0/%" \
				"m$m m$n $t$b icmp/3/3 quote $a icmp/8/0"
			answer "$name, protocol 47" "$from" "m$n m$m $t$a proto/47" \
				"m$m m$n $t$b icmp/3/3 quote $a proto/47"
		fi
	done
	sleep 0.1 # for the limit
}

answers_everywhere() {
	must x acl add dev v2 in reject
	rejected "VM -> VM, in" v1 1 2
	rejected "wire -> VM, in" wire 200 2
	must x acl del dev v2 in all
	must x acl add dev v1 out reject
	rejected "VM -> VM, out" v1 1 2
	rejected "VM -> wire, out" v1 1 200
	rejected "VM -> host, out" v1 1 100
	answer "VM -> an unknown address, out" v1 "m77 m1 ip/10.9.0.1/10.9.0.2 tcp/%/80/S/100 +0" \
		"m1 m77 ip/10.9.0.2/10.9.0.1 tcp/80/%/RA/0/101"
	must x acl del dev v1 out all
	must x acl add network lan in reject
	rejected "VM -> VM, network" v1 1 2
	introduce 8100:000a
	rejected "VM -> VM, network, a VLAN" v1 1 2 8100:000a
	must x acl del network lan in all
	must x acl add dev nic0 in reject
	rejected "VM -> wire, the uplink's" v1 1 200
	must x acl del dev nic0 in all
	must x acl add dev nic0 out reject
	rejected "wire -> VM, the uplink's" wire 200 2
	must x acl del dev nic0 out all
}

never() {
	local a=ip/10.9.0.1/10.9.0.2 a6=ip/fd09::1/fd09::2
	must x acl add dev v1 out reject
	answer "no answer: broadcast" v1 "bc m1 ip/10.9.0.1/255.255.255.255 udp/%/7"
	answer "no answer: broadcast, to a unicast IP address" v1 "bc m1 $a udp/%/7"
	answer "no answer: multicast" v1 "mc m1 ip/10.9.0.1/224.0.0.251 udp/%/7"
	answer "no answer: multicast by IP alone" v1 "m2 m1 ip/10.9.0.1/224.0.0.251 udp/%/7"
	answer "no answer: multicast, IPv6" v1 "mc6 m1 ip/fd09::1/ff02::fb udp/%/7"
	answer "no answer: multicast, IPv6, TCP" v1 "m2 m1 ip/fd09::1/ff02::fb tcp/%/7/S/1"
	answer "no answer: no source" v1 "m2 m1 ip/0.0.0.0/10.9.0.2 udp/%/7"
	answer "no answer: no source, IPv6" v1 "m2 m1 ip/::/fd09::2 tcp/%/7/S/1"
	answer "no answer: source is a group's" v1 "m2 m1 ip/224.0.0.5/10.9.0.2 udp/%/7"
	answer "no answer: source is a group's, IPv6" v1 "m2 m1 ip/ff02::5/fd09::2 udp/%/7"
	answer "no answer: an error" v1 "m2 m1 $a icmp/3/1 quote ip/10.9.0.2/10.9.0.1 udp/7/7"
	answer "no answer: time exceeded" v1 "m2 m1 $a icmp/11/0 quote ip/10.9.0.2/10.9.0.1 udp/7/7"
	answer "no answer: a redirect" v1 "m2 m1 $a icmp/5/1 quote ip/10.9.0.2/10.9.0.1 udp/7/7"
	answer "no answer: an error, IPv6" v1 "m2 m1 $a6 icmp/1/0 quote ip/fd09::2/fd09::1 udp/7/7"
	answer "no answer: too big, IPv6" v1 "m2 m1 $a6 icmp/2/0 quote ip/fd09::2/fd09::1 udp/7/7"
	answer "no answer: a later fragment" v1 "m2 m1 $a/id=7 udp/1/7 part/64 +200"
	answer "no answer: a later fragment, IPv6" v1 "m2 m1 $a6/id=7 udp/1/7 part/64 +200"
	answer "no answer: not IP" v1 "m2 m1 88b5"
	answer "no answer: ARP" v1 "m2 m1 arp/1/m1/10.9.0.1/m0/10.9.0.2"
	must x acl del dev v1 out all
	must x acl add dev v2 in reject
	frame "a flooded frame: only its copy is gone" wire "bc m200 $a udp/%/7" v1 v3 dev:nic0
	must x acl del dev v2 in all
}

vlans() {
	must x port set dev v3 trunk 10,20
	must x port set dev v2 vlan 10
	must x port set dev v1 vlan 10
	introduce
	repeat v3 1 "bc m3 8100:000a 88b5"
	repeat wire 1 "bc m200 8100:000a 88b5"
	must x acl add dev v2 in reject
	answer "trunk: the tag is kept, TCP" v3 "m2 m3 8100:000a ip/10.9.0.1/10.9.0.2 tcp/%/80/S/100 +0" \
		"m3 m2 8100:000a ip/10.9.0.2/10.9.0.1 tcp/80/%/RA/0/101"
	answer "trunk: the tag is kept, UDP, IPv6" v3 "m2 m3 8100:000a ip/fd09::1/fd09::2 udp/%/80" \
		"m3 m2 8100:000a ip/fd09::2/fd09::1 icmp/1/4 quote ip/fd09::1/fd09::2 udp/%/80"
	answer "access: none" v1 "m2 m1 ip/10.9.0.1/10.9.0.2 tcp/%/80/S/100 +0" \
		"m1 m2 ip/10.9.0.2/10.9.0.1 tcp/80/%/RA/0/101"
	answer "uplink: the tag is kept" wire "m2 m200 8100:000a ip/fd09::1/fd09::2 tcp/%/80/S/100 +0" \
		"m200 m2 8100:000a ip/fd09::2/fd09::1 tcp/80/%/RA/0/101"
	must x acl del dev v2 in all
	must x port set dev v3 native 20
	repeat v3 1 "bc m3 88b5"
	must x port set dev v2 vlan 20
	introduce
	must x acl add dev v3 out reject
	answer "native: none" v3 "m2 m3 ip/10.9.0.1/10.9.0.2 udp/%/80" \
		"m3 m2 ip/10.9.0.2/10.9.0.1 icmp/3/3 quote ip/10.9.0.1/10.9.0.2 udp/%/80"
	must x acl del dev v3 out all
	must x port set dev v3 trunk none
	for vm in v1 v2; do must x port set dev $vm vlan none; done
	introduce
}

# ---- real stacks ----

# refused_at_once FROM ADDRESS: connect() fails with ECONNREFUSED within half a second, twice; so
# does a connected UDP socket.
refused_at_once() {
	ns "$1" /usr/bin/python3 - "$2" <<-'END'
		import socket, sys, time
		family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
		for kind in socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_DGRAM:
		    s = socket.socket(family, kind)
		    s.settimeout(3)
		    start = time.monotonic()
		    try:
		        s.connect((sys.argv[1], 7001))
		        s.send(b"?" * 100)
		        s.recv(1)
		        sys.exit(f"{kind} was not refused")
		    except ConnectionRefusedError:
		        # ARP may come first; a lost SYN would be sent again after a second
		        if time.monotonic() - start > 0.9:
		            sys.exit(f"{kind} was refused after {time.monotonic() - start} s")
	END
}

stacks() {
	local dev dir
	for dev in v2 v1; do
		dir=in
		[ $dev = v2 ] || dir=out
		rules dev $dev $dir "proto tcp dport 7001 reject" "proto udp dport 7001 reject"
		check "$dir: VM -> VM" refused_at_once v1 10.0.0.2
		check "$dir: VM -> VM, IPv6" refused_at_once v1 fd00::2
		if [ $dir = in ]; then
			check "in: wire -> VM" refused_at_once wire 10.0.0.2
			check "in: wire -> VM, IPv6" refused_at_once wire fd00::2
			check "in: host -> VM" refused_at_once host 10.0.0.2
			check "in: host -> VM, IPv6" refused_at_once host fd00::2
		else
			check "out: VM -> wire" refused_at_once v1 10.0.0.200
			check "out: VM -> wire, IPv6" refused_at_once v1 fd00::200
			check "out: VM -> host" refused_at_once v1 10.0.0.100
			check "out: VM -> host, IPv6" refused_at_once v1 fd00::100
		fi
		check "$dir: other ports are open" pings v1 10.0.0.2
		# what the sender leaves to its device is computed for the answer on its way back
		must ns host ethtool -K v1 tx off
		check "$dir: sender with offloads, device without" refused_at_once v1 10.0.0.2
		check "$dir: sender with offloads, device without, IPv6" refused_at_once v1 fd00::2
		must ns host ethtool -K v1 tx on
		must x acl del dev $dev $dir all
	done
	check "no wrong checksum anywhere" checksums_right
}

# A live connection that a new rule rejects is reset.
live() {
	local server seen
	must x acl add dev v2 in allow
	spawn v2 socat "TCP4-LISTEN:5003,reuseaddr" PIPE
	server=$!
	listening v2 5003
	(for _ in {1..40}; do echo line && sleep 0.05; done) | ns v1 timeout 5 socat - TCP4:10.0.0.2:5003 >"$T/lines" 2>"$T/reset" &
	seen=$!
	eventually "a connection" 2 test -s "$T/lines"
	must x acl add dev v2 in prio 1 proto tcp dport 5003 reject
	wait "$seen"
	check "is reset by a new rule" grep -iE "reset|broken pipe" "$T/reset"
	end "$server"
	must x acl del dev v2 in all
}

limit() {
	local n before
	must x acl add dev v2 in proto udp reject
	before=$(notes reject_limit)
	n=$(answers v1 5000 "m2 m1 ip/10.9.0.1/10.9.0.2 udp/%/7")
	if [ "$n" -ge 1 ] && [ "$n" -lt 2500 ]; then ok "5,000 packets: $n answers"; else not_ok "5,000 packets" "$n answers"; fi
	if [ "$(notes reject_limit)" -gt $((before + 2000)) ]; then ok "the rest is counted"; else
		not_ok "the rest is counted" "$before, then $(notes reject_limit)"
	fi
	equal "all are counted as acl_reject" "$(x -j acl show dev v2 in | jq '.[0].packets')" 5000
	sleep 1.2
	answer "and then answers again" v1 "m2 m1 ip/10.9.0.1/10.9.0.2 udp/%/80" \
		"m1 m2 ip/10.9.0.2/10.9.0.1 icmp/3/3 quote ip/10.9.0.1/10.9.0.2 udp/%/80"
	must x acl del dev v2 in all
}

for hook in tc xdp; do
	LABEL="$hook: "
	lan $hook
	answers_everywhere
	never
	vlans
	stacks
	live
	limit
	down
done
finish

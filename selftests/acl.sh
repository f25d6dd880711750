#!/bin/bash
# acl.sh - lists of rules on ports and networks: first match, order of the lists, every word
# of a match, policies, flooded copies, tags, log, counters, and changes under traffic; with
# the hooks tc and xdp.
#
#     v1 ┐
#     v2 ┼ lan (bridge) ─ nic0 ── wire, and the host
#     v3 ┘
#
# Packets have addresses that no namespace has (10.9.0.N, fd09::N), so that no kernel answers
# them, and each has a port of its own, so that no earlier one has opened its connection.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

four=ip/10.9.0.1/10.9.0.2
six=ip/fd09::1/fd09::2

# counter DEV DIRECTION PRIO: packets that the rule has judged, and their octets.
counter() {
	x -j acl show dev "$1" "$2" | jq -r ".[] | select(.prio == $3) | \"\\(.packets) \\(.bytes)\""
}

# both NAME FROM TO M UDP-PORT [RECEIVER]: a UDP packet of each family from FROM to TO's address
# mM gets to RECEIVER, or to nobody.
both() {
	local name=$1 from=$2 m=$3 n=$4 port=$5 to=${6-}
	frame "$name" "$from" "m$n m$m $four udp/%/$port" ${to:+"$to"}
	frame "$name, IPv6" "$from" "m$n m$m $six udp/%/$port" ${to:+"$to"}
}

# ---- which rule decides ----

first_match() {
	rules dev v2 in "prio 20 proto tcp deny" "prio 10 proto tcp dport 80 allow" "prio 30 deny"
	frame "a lower prio decides, whatever the file's order" v1 "m2 m1 $four tcp/%/80/S" v2
	frame "the next one for what it does not match" v1 "m2 m1 $four tcp/%/81/S"
	frame "a rule without a match matches all" v1 "m2 m1 $four udp/%/80"
	frame "also what is not IP" v1 "m2 m1 88b5"
	json "shown in order" '[.[] | .prio] == [10, 20, 30] and .[0].on == "dev v2" and
		.[0].direction == "in" and .[0].match == {"proto": "tcp", "dport": "80"} and
		[.[] | .action] == ["allow", "deny", "deny"]' acl show dev v2 in
	must x acl add dev v2 in prio 5 proto tcp dport 80-81 deny
	frame "a rule in front" v1 "m2 m1 $four tcp/%/80/S"
	must x acl del dev v2 in prio 5
	frame "and gone again" v1 "m2 m1 $six tcp/%/80/S" v2
	must x acl add dev v2 in proto udp allow
	frame "a rule without prio goes last" v1 "m2 m1 $four udp/%/80"
	json "10 behind the last" '.[-1].prio == 40 and .[-1].match == {"proto": "udp"}' acl show dev v2 in
	must x acl del dev v2 in prio 30
	frame "where it decides once the others are gone" v1 "m2 m1 $four udp/%/80" v2
	refused "a prio twice" 1 10 acl add dev v2 in prio 10 allow
	refused "a prio that is not there" 1 77 acl del dev v2 in prio 77
	must x acl del dev v2 in all
	json "an empty list" '. == []' acl show dev v2 in
	frame "no list" v1 "m2 m1 $four tcp/%/81/S" v2
}

# Ports 1 to 5 are what the port's list denies and allows, what the network's denies and allows,
# and what neither knows.
places() {
	local dir vm
	for dir in in out; do
		vm=v2
		[ $dir = in ] || vm=v1
		rules dev $vm $dir "proto udp dport 1 deny" "proto udp dport 2 allow"
		rules network lan $dir "proto udp dport 1 allow" "proto udp dport 2-3 deny" "proto udp dport 4 allow"
		must x port set dev $vm policy-$dir deny
		both "$dir: the port's list comes first, deny" v1 1 2 1
		both "$dir: the port's list comes first, allow" v1 1 2 2 v2
		both "$dir: the network's is next, deny" v1 1 2 3
		both "$dir: the network's is next, allow" v1 1 2 4 v2
		both "$dir: the policy is last, deny" v1 1 2 5
		must x port set dev $vm policy-$dir allow
		both "$dir: the policy is last, allow" v1 1 2 5 v2
		clear_lists
	done
	must x acl add dev v2 out deny
	must x acl add dev v1 in deny
	frame "the sender's in and the receiver's out judge nothing" v1 "m2 m1 $four udp/%/7" v2
	clear_lists
}

# Who is judged by what: VMs, the wire and the host at both ends.
ways() {
	rules dev v1 out "proto udp dport 1 deny"
	rules dev v2 in "proto udp dport 2 deny"
	rules dev nic0 in "proto udp dport 3 deny"
	rules dev nic0 out "proto udp dport 4 deny"
	both "VM -> VM, out" v1 1 2 1
	both "VM -> VM, in" v1 1 2 2
	both "VM -> VM, no rule of the uplink's" v1 1 2 3 v2
	both "VM -> VM, nor its other one" v1 1 2 4 v2
	both "VM -> wire, the VM's" v1 1 200 1
	both "VM -> wire, the uplink's" v1 1 200 3
	both "VM -> wire, not its out" v1 1 200 4 wire
	both "VM -> wire, not another VM's" v1 1 200 2 wire
	both "wire -> VM, the VM's" wire 200 2 2
	both "wire -> VM, the uplink's" wire 200 2 4
	both "wire -> VM, not its in" wire 200 2 3 v2
	both "wire -> VM, not another VM's" wire 200 2 1 v2
	both "VM -> host, the VM's" v1 1 100 1
	both "VM -> host" v1 1 100 2 dev:nic0
	both "host -> VM, the VM's" dev:nic0 100 2 2
	both "host -> VM" dev:nic0 100 2 1 v2
	clear_lists
	rules network lan in "proto udp dport 1 deny"
	rules network lan out "proto udp dport 2 deny"
	both "network in, VM -> VM" v1 1 2 1
	both "network in, wire -> VM" wire 200 2 1
	both "network in, host -> VM" dev:nic0 100 2 1
	both "network in does not judge the uplink" v1 1 200 1 wire
	both "nor the host" v1 1 100 1 dev:nic0
	both "network out, VM -> VM" v1 1 2 2
	both "network out, VM -> wire" v1 1 200 2
	both "network out, VM -> host" v1 1 100 2
	both "network out does not judge the uplink" wire 200 2 2 v2
	both "nor the host" dev:nic0 100 2 2 v2
	clear_lists
}

# ---- every word ----

# word RULE FRAME OTHER: FRAME fits the rule, OTHER does not; as the only one that is allowed,
# and as the only one that is not. Both are v1's to v2.
word() {
	must x port set dev v2 policy-in deny
	rules dev v2 in "$1 allow"
	frame "$1: fits" v1 "m2 m1 $2" v2
	frame "$1: does not fit" v1 "m2 m1 $3"
	must x port set dev v2 policy-in allow
	rules dev v2 in "$1 deny"
	frame "$1: fits, denied" v1 "m2 m1 $2"
	frame "$1: does not fit, passes" v1 "m2 m1 $3" v2
}

words() {
	word "family ip" "$four udp/%/7" "$six udp/%/7"
	word "family ip6" "$six tcp/%/7/S" "$four tcp/%/7/S"
	word "proto tcp" "$six tcp/%/80/S" "$six udp/%/80"
	word "proto udp" "$four udp/%/80" "$four tcp/%/80/S"
	word "proto icmp" "$four icmp/8/0/%" "$four udp/%/80"
	word "proto icmp6" "$six icmp/128/0/%" "$six udp/%/80"
	word "proto sctp" "$four sctp/%/80" "$four udp/%/80"
	word "proto 47" "$four proto/47" "$four proto/50"
	word "src 10.9.0.1" "$four udp/%/7" "ip/10.9.0.3/10.9.0.2 udp/%/7"
	word "src 10.9.0.0/30" "ip/10.9.0.3/10.9.0.2 udp/%/7" "ip/10.9.0.4/10.9.0.2 udp/%/7"
	word "src fd09::1" "$six udp/%/7" "ip/fd09::3/fd09::2 udp/%/7"
	word "src fd09::/64" "ip/fd09::ffff:1:2:3/fd09::2 udp/%/7" "ip/fd09:0:0:1::1/fd09::2 udp/%/7"
	word "dst 10.9.0.2" "$four tcp/%/7/S" "ip/10.9.0.1/10.9.0.3 tcp/%/7/S"
	word "dst 10.9.0.2/31" "ip/10.9.0.1/10.9.0.3 udp/%/7" "ip/10.9.0.1/10.9.0.4 udp/%/7"
	word "dst fd09::2" "$six tcp/%/7/S" "ip/fd09::1/fd09::6 tcp/%/7/S"
	word "dst fd09::/125" "ip/fd09::1/fd09::7 udp/%/7" "ip/fd09::1/fd09::8 udp/%/7"
	word "proto tcp sport 1000" "$four tcp/1000/%/S" "$four tcp/1001/%/S"
	word "proto udp sport 1000-1010" "$six udp/1010/%" "$six udp/1011/%"
	word "proto tcp sport 1000-1010" "$six tcp/1000/%/S" "$six tcp/999/%/S"
	word "proto udp dport 53" "$four udp/%/53" "$four udp/%/54"
	word "proto tcp dport 1000-1999" "$six tcp/%/1000/S" "$six tcp/%/999/S"
	word "proto tcp dport 1000-1999" "$four tcp/%/1999/S" "$four tcp/%/2000/S"
	word "proto sctp dport 5000-5001" "$six sctp/%/5001" "$six sctp/%/5002"
	word "proto icmp icmp-type 8" "$four icmp/8/0/%" "$four icmp/13/0/%"
	word "proto icmp6 icmp-type 128" "$six icmp/128/0/%" "$six icmp/144/0/%"
	word "proto tcp tcp-flags 0x12/0x02" "$four tcp/%/80/S" "$four tcp/%/80/A/1/1"
	word "proto tcp tcp-flags 0x3f/0x29" "$six tcp/%/80/FPU/1/1" "$six tcp/%/80/A/1/1"
	word "ethertype 0x88b5" "88b5" "88b6"
	word "ethertype 0x0800" "$four udp/%/7" "$six udp/%/7"
	word "ethertype 0x86dd" "$six udp/%/7" "$four udp/%/7"
	word "state new" "$four tcp/%/80/S" "$four tcp/%/80/R/5"
	word "state invalid" "$six tcp/%/80/R/5" "$six tcp/%/80/S"
	word "family ip proto tcp src 10.9.0.0/24 dst 10.9.0.2 sport 900-999 dport 22 tcp-flags 0x12/0x02 vlan 0" \
		"$four tcp/950/22/S" "$four tcp/950/23/S"
	word "proto udp dport 53" "$four/options=94040000 udp/%/53" "$four/options=94040000 udp/%/54"
	word "proto udp dport 53" "$six hbh dstopts/3 udp/%/53" "$six hbh dstopts/3 udp/%/54"
	word "proto tcp dport 53" "$six route dstopts tcp/%/53/S" "$six route dstopts tcp/%/54/S"
	word "proto udp dport 53" "$six ah udp/%/53" "$six ah udp/%/54"
	clear_lists
}

# What goes to more than one port, and addresses of hardware.
copies() {
	rules dev v2 in "dst-mac ff:ff:ff:ff:ff:ff deny"
	frame "dst-mac: only v2's copy is denied" v1 "bc m1 $four udp/%/7" v3 wire dev:nic0
	frame "dst-mac: another address" v1 "mc m1 ip/10.9.0.1/224.0.0.251 udp/%/7" v2 v3 wire dev:nic0
	frame "dst-mac: unicast" v1 "m2 m1 $four udp/%/7" v2
	rules dev v2 in "src-mac $(mac 9) deny"
	frame "src-mac: only v2's copy is denied" v1 "bc m9 $four udp/%/7" v3 wire dev:nic0
	frame "src-mac: another address" v1 "bc m1 $four udp/%/7" v2 v3 wire dev:nic0
	rules dev nic0 in "proto udp dport 7 deny"
	rules dev v3 in "proto udp dport 7 allow" "deny"
	rules dev v2 in "proto udp dport 8 allow" "proto udp deny"
	frame "each copy is judged by its own list" v1 "bc m1 $four udp/%/7" v3 dev:nic0
	frame "each copy, another port" v1 "bc m1 $six udp/%/8" v2 wire dev:nic0
	frame "each copy, unknown unicast" v1 "m77 m1 $six udp/%/7" v3
	frame "each copy, from the wire" wire "bc m200 $four udp/%/7" v1 v3 dev:nic0
	frame "each copy, from the host" dev:nic0 "bc m100 $six udp/%/8" v1 v2 wire
	frame "each copy, not IP" v1 "bc m1 88b5" v2 wire dev:nic0
	rules dev v1 out "proto udp dport 7 deny"
	frame "the sender's list is for all copies" v1 "bc m1 $four udp/%/7"
	clear_lists
	must x port set dev v2 policy-in deny
	frame "a policy is for its own copy" v1 "bc m1 $four udp/%/7" v3 wire dev:nic0
	clear_lists
}

policies() {
	local arp="arp/1/m1/10.9.0.1/m0/10.9.0.2" before
	must x port set dev v2 policy-in deny
	must x port set dev v1 policy-out deny
	frame "deny: ARP request passes" v1 "bc m1 $arp" v2 v3 wire dev:nic0
	frame "deny: ARP reply passes" v1 "m2 m1 arp/2/m1/10.9.0.1/m2/10.9.0.2" v2
	frame "deny: neighbour solicitation passes" v1 "m2 m1 $six/ttl=255 ns/fd09::2" v2
	frame "deny: neighbour advertisement passes" v1 "m2 m1 $six/ttl=255 na/fd09::1" v2
	frame "deny: from the wire as well" wire "m2 m200 $six/ttl=255 ns/fd09::2" v2
	before=$(dropped_all policy_deny)
	frame "deny: router solicitation does not" wire "m2 m200 $six/ttl=255 icmp/133/0"
	frame "deny: router advertisement does not" wire "m2 m200 $six/ttl=255 icmp/134/0"
	frame "deny: echo request does not" v1 "m2 m1 $six icmp/128/0/%"
	frame "deny: UDP does not, in" wire "m2 m200 $four udp/%/7"
	frame "deny: UDP does not, out" v1 "m200 m1 $four udp/%/7"
	frame "deny: TCP does not" v1 "m200 m1 $six tcp/%/7/S"
	frame "deny: what is not IP does not, in" wire "m2 m200 88b5"
	frame "deny: what is not IP does not, out" v1 "m200 m1 88b5"
	equal "deny: each is counted" "$(($(dropped_all policy_deny) - before))" 8
	check "deny: hosts cannot talk" silent v1 10.0.0.2
	check "deny: hosts cannot talk, IPv6" silent wire fd00::2
	rules dev v2 in "ethertype 0x0806 deny" "proto icmp6 icmp-type 135 deny"
	frame "a rule can name ARP" wire "m2 m200 arp/2/m200/10.9.0.1/m2/10.9.0.2"
	frame "a rule can name solicitations" wire "m2 m200 $six/ttl=255 ns/fd09::2"
	frame "advertisements pass still" wire "m2 m200 $six/ttl=255 na/fd09::1" v2
	before=$(dropped_all acl_deny)
	repeat wire 5 "m2 m200 arp/2/m200/10.9.0.1/m2/10.9.0.2"
	eventually "what a rule denies is counted as acl_deny" 2 counted acl_deny $((before + 5))
	clear_lists
}

counted() {
	[ "$(dropped_all "$1")" = "$2" ]
}

# ---- VLANs ----

# introduce [TAG]: v1 and v2 speak, so that unicast is known.
introduce() {
	repeat v1 1 "bc m1 ${1-} 88b5"
	repeat v2 1 "bc m2 ${1-} 88b5"
}

tags() {
	local vm
	frames v1 v2 v3 wire
	for vm in 8100:000a 8100:0014 8100:0000 88a8:000a; do introduce "$vm"; done
	rules dev v2 in "vlan 10 deny"
	frame "transparent, VLAN 10" v1 "m2 m1 8100:000a $four udp/%/7"
	frame "transparent, VLAN 20" v1 "m2 m1 8100:0014 $four udp/%/7" v2
	frame "transparent, untagged" v1 "m2 m1 $four udp/%/7" v2
	rules dev v2 in "proto udp dport 7 deny"
	frame "behind a tag" v1 "m2 m1 8100:000a $four udp/%/7"
	frame "behind a tag, another port" v1 "m2 m1 8100:000a $six udp/%/8" v2
	frame "behind two tags" v1 "m2 m1 88a8:000a 8100:0014 $six udp/%/7"
	frame "behind two C-tags" v1 "m2 m1 8100:000a 8100:0014 $four udp/%/7"
	frame "behind four tags, another port" v1 \
		"m2 m1 8100:0000 8100:0000 8100:0000 8100:0000 $six udp/%/8" v2
	# a kernel takes any number of priority tags off
	for vm in "8100:0000" "8100:0000 8100:0000" "8100:0000 8100:0000 8100:0000 8100:0000" \
		"8100:0000 8100:0000 8100:0000 8100:0000 8100:0000" \
		"8100:0000 8100:0000 8100:0000 8100:0000 8100:0000 8100:0000 8100:0000"; do
		frame "behind $((${#vm} / 9 + 1)) priority tags" v1 "m2 m1 $vm $four udp/%/7"
	done
	clear_lists
	for vm in v1 v2; do must x port set dev $vm vlan 10; done
	must x port set dev v3 trunk 10,20
	introduce
	repeat v3 1 "bc m3 8100:000a 88b5"
	rules dev v2 in "vlan 10 proto udp dport 7 deny" "vlan 20 proto udp dport 8 deny"
	frame "an access port's VLAN" v1 "m2 m1 $four udp/%/7"
	frame "not another one" v1 "m2 m1 $four udp/%/8" v2
	frame "trunk -> access" v3 "m2 m3 8100:000a $six udp/%/7"
	frame "trunk -> access, another port" v3 "m2 m3 8100:000a $six udp/%/9" v2="m2 m3 $six udp/%/9"
	clear_lists
	rules dev v3 out "vlan 20 deny" "vlan 10 proto udp dport 7 deny"
	frame "a trunk's VLANs, one" v3 "bc m3 8100:0014 $four udp/%/7"
	frame "a trunk's VLANs, another" v3 "bc m3 8100:000a $four udp/%/7"
	frame "a trunk's VLANs, what passes" v3 "m2 m3 8100:e00a $four udp/%/8" v2="m2 m3 $four udp/%/8"
	clear_lists
	rules network lan in "vlan 10 proto udp dport 7 deny"
	frame "a network's list" v1 "bc m1 $four udp/%/7" "wire=bc m1 8100:000a $four udp/%/7"
	frame "a network's list, another port" v1 "bc m1 $six udp/%/8" v2 \
		"v3=bc m1 8100:000a $six udp/%/8" "wire=bc m1 8100:000a $six udp/%/8"
	clear_lists
	for vm in v1 v2; do must x port set dev $vm vlan none; done
	must x port set dev v3 trunk none
	introduce
	frames v1 v2 v3 wire dev:nic0
}

# ---- log and counters ----

# Packets are sent until one is printed: nobody knows when the reader is there.
logged() {
	repeat v1 1 "m2 m1 $four udp/%/4242"
	repeat v1 1 "m2 m1 $four udp/%/4243"
	grep -w 17 "$1" | grep -w v2 | grep -F 10.9.0.1 | grep -F 10.9.0.2 | grep -w 4242
}

logs() {
	local reader
	rules dev v2 in "prio 17 proto udp dport 4242 deny log" "prio 18 proto udp dport 4243 deny" \
		"prio 19 proto udp dport 4244 allow log" "prio 21 proto tcp reject log"
	spawn host "$XDPCTL" -n "$P-host" acl log >"$T/log" 2>&1
	reader=$!
	eventually "log: port, rule and packet" 5 logged "$T/log"
	check_not "log: a rule without log prints nothing" grep -w 4243 "$T/log"
	frame "log: what is allowed passes" v1 "m2 m1 $six udp/%/4244" v2
	eventually "log: and is printed" 2 grep -E 'fd09::1.*fd09::2' "$T/log"
	repeat v1 1 "m2 m1 $four tcp/%/4245/S"
	eventually "log: a rejected one" 2 grep -w 4245 "$T/log"
	check "log: the reader goes on" kill -0 "$reader"
	end "$reader"
	spawn host "$XDPCTL" -n "$P-host" -j acl log >"$T/log.json" 2>&1
	eventually "log: also in JSON" 5 logged "$T/log.json"
	check "log: each is one document" jq -e . "$T/log.json"
	end $!
	# nobody reads: the ring fills and is no hindrance
	flood v1 60000 "m2 m1 $four udp/%/4242"
	frame "log: a full ring loses events, not packets" v1 "m2 m1 $four udp/%/4244" v2
	json "log: lost ones are counted" '[.[].notes.log_lost] | add > 0' stats
	clear_lists
}

counters() {
	local before
	rules dev v2 in "prio 10 proto udp dport 1 deny" "prio 20 proto udp dport 2 allow" "prio 30 proto udp allow"
	equal "counters begin at nothing" "$(counter v2 in 10)" "0 0"
	repeat v1 5 "m2 m1 $four udp/%/1 +100"
	eventually "denied packets and octets" 2 equals v2 in 10 "5 710"
	for _ in 1 2 3; do repeat v1 1 "m2 m1 $six udp/%/2 +200"; done
	eventually "new connections" 2 equals v2 in 20 "3 786"
	equal "a rule that judged nothing" "$(counter v2 in 30)" "0 0"
	frame "a connection opens" v1 "m2 m1 $four udp/999/2" v2
	before=$(counter v2 in 20)
	frame "and is answered" v2 "m1 m2 ip/10.9.0.2/10.9.0.1 udp/2/999" v1
	frame "and goes on" v1 "m2 m1 $four udp/999/2 +500" v2
	equal "its later packets are not the rule's" "$(counter v2 in 20)" "$before"
	rules dev v1 out "prio 10 proto udp dport 2 allow"
	for _ in 1 2 3; do repeat v1 1 "m100 m1 $four udp/%/2 +100"; done
	eventually "once for each, to the host" 2 equals v1 out 10 "3 426"
	for _ in 1 2 3; do repeat v1 1 "m200 m1 $four udp/%/2 +100"; done
	eventually "once for each, to the wire" 2 equals v1 out 10 "6 852"
	for _ in 1 2 3; do repeat v1 1 "m77 m1 $four udp/%/2 +100"; done
	eventually "once for each, flooded" 2 equals v1 out 10 "9 1278"
	must x acl del dev v1 out all
	before=$(counter v2 in 20)
	rules dev v2 in "prio 5 proto udp dport 3 deny" "prio 10 proto udp dport 1 deny" \
		"prio 21 proto udp dport 2 allow" "prio 30 proto udp deny" "prio 40 proto udp dport 1 allow"
	equal "reload: the same rule keeps its counter" "$(counter v2 in 10)" "5 710"
	equal "reload: with another prio as well" "$(counter v2 in 21)" "$before"
	equal "reload: another action begins anew" "$(counter v2 in 30)" "0 0"
	equal "reload: a new rule too" "$(counter v2 in 5)" "0 0"
	must x acl add dev v2 in prio 6 proto tcp dport 3 deny
	must x acl del dev v2 in prio 5
	equal "add and del: the others keep theirs" "$(counter v2 in 10)" "5 710"
	repeat v1 2 "m2 m1 $four udp/%/1 +100"
	eventually "and count on" 2 equals v2 in 10 "7 994"
	clear_lists
}

equals() {
	local seen
	seen=$(counter "$1" "$2" "$3")
	[ "$seen" = "$4" ] || { echo "$seen" && return 1; }
}

# ---- changes ----

live() {
	must x port set dev v2 policy-in deny
	rules dev v2 in "prio 10 proto udp dport 7 allow"
	frame "a connection" v1 "m2 m1 $four udp/777/7" v2
	frame "its answer" v2 "m1 m2 ip/10.9.0.2/10.9.0.1 udp/7/777" v1
	must x acl add dev v2 in prio 5 src 10.9.0.1 deny
	frame "a new rule stops it" v1 "m2 m1 $four udp/777/7"
	must x acl del dev v2 in prio 5
	frame "and lets it go on when it is gone" v1 "m2 m1 $four udp/777/7" v2
	must x acl add network lan out prio 5 proto udp dport 7 deny
	frame "a rule of the network's" v1 "m2 m1 $four udp/777/7"
	must x acl del network lan out prio 5
	frame "and without it" v1 "m2 m1 $four udp/777/7" v2
	must x acl add dev v2 in prio 5 src 10.9.0.3 deny
	frame "a rule for others changes nothing" v1 "m2 m1 $four udp/777/7" v2
	frame "also for its answers" v2 "m1 m2 ip/10.9.0.2/10.9.0.1 udp/7/777" v1
	must x acl del dev v2 in all
	frame "the policy judges it, where no list is" v1 "m2 m1 $four udp/777/7"
	must x port set dev v2 policy-in allow
	frame "and another policy" v1 "m2 m1 $four udp/777/7" v2
	clear_lists
}

atomic() {
	local i n seen
	refused "a bad file names its line" 2 "line 3" acl load dev v2 in <(printf 'allow\n# none\nproto tpc deny\n')
	refused "a file that is not there" 1 "$T/nothing" acl load dev v2 in "$T/nothing"
	# two lists that agree about port 5000 and port 6000, and about nothing else
	{
		echo "prio 1 proto udp dport 6000 deny"
		for ((i = 2; i < 12; i++)); do echo "prio $i proto udp dport $i deny"; done
		echo "prio 100 proto udp dport 5000 allow"
	} >"$T/short"
	{
		for ((i = 2; i < 600; i++)); do echo "prio $i proto udp dport $((i + 100)) src 10.$((i % 250)).0.0/16 deny"; done
		echo "prio 1000 proto udp dport 4000-5999 allow"
		echo "prio 2000 proto udp dport 6000-7000 deny"
		echo "prio 3000 allow"
	} >"$T/long"
	printf 'acl %s dev v2 in %s\n' add 'prio 1 proto udp dport 6000 deny' del 'prio 2000' \
		add 'prio 900 proto udp dport 4999-5001 allow' del 'prio 1000' del 'prio 3000' >"$T/changes"
	must x port set dev v2 policy-in deny
	must x acl load dev v2 in "$T/short"
	seen=$(stream v1 v2 12 "m2 m1 $four udp/%/5000;m2 m1 $four udp/%/6000" reload)
	n=${seen%%/*}
	if [ "$n" -gt 1000 ]; then ok "packets flow meanwhile"; else not_ok "packets flow meanwhile" "$seen"; fi
	equal "100 reloads and 250 changes: none lost, none leaked" "$seen" "$n/$n $n/0"
	equal "all reloads were done" "$(cat "$T/reloads")" 100
	clear_lists
}

# The long list is also changed in its place, each time to one that says the same of both ports.
reload() {
	local i
	for ((i = 0; i < 50; i++)); do
		if ! x acl load dev v2 in "$T/long" || ! x -b "$T/changes" || ! x acl load dev v2 in "$T/short"; then break; fi
	done
	echo $((i * 2)) >"$T/reloads"
}

for hook in tc xdp; do
	LABEL="$hook: "
	lan $hook
	first_match
	places
	ways
	words
	copies
	policies
	tags
	logs
	counters
	live
	atomic
	down
done
finish

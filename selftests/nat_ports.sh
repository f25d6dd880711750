#!/bin/bash
# nat_ports.sh - the external ports of a nat network: which mapping an endpoint gets, who may answer,
# what happens when there are none left; with the hooks tc and xdp. The lab is in nat_lab.sh.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=nat_lab.sh
. "$(dirname "$0")/nat_lab.sh"
ALONE=1

servers() {
	opened udp W wire 10.0.0.200 53
	opened udp W54 wire 10.0.0.200 54
	opened udp X wire 10.0.0.201 53
	opened udp F far 203.0.113.2 53
	opened listen L wire 10.0.0.200 80
	opened udp W6 wire fd00::200 53
	opened udp X6 wire fd00::201 53
	opened listen L6 wire fd00::200 80
}

# of LIST: the lines of a list with commas. ports LIST: their ports.
of() {
	tr , '\n' <<<"$1"
}

ports() {
	of "$1" | awk '{ print $2 }'
}

# distinct NAME LIST ADDRESS N: N different endpoints, all with ADDRESS.
distinct() {
	equal "$1: different endpoints" "$(of "$2" | grep -c "^$3 [0-9]*\$") $(of "$2" | sort -u | wc -l)" "$4 $4"
}

# Vast numbers of VMs: a1 has 192.168.50.101 to .200, and fd00:50::101 to ::164 (hexadecimal).
many() {
	local n
	for ((n = 101; n <= 200; n++)); do
		echo "address add 192.168.50.$n/24 dev eth0"
		echo "address add fd00:50::$(printf %x $((0x101 + n - 101)))/64 dev eth0 nodad"
	done >"$T/addresses"
	must ip -n "$P-a1" -b "$T/addresses"
}

# ---- mapping ----

mapping() {
	local seen n
	opened udp A a1 192.168.50.11 5000
	opened udp B a2 192.168.50.12 5000
	asks "a port is kept" "10.0.0.100 5000" A 10.0.0.200 53 W
	asks "for another port of the server" "10.0.0.100 5000" A 10.0.0.200 54 W54
	asks "for another server" "10.0.0.100 5000" A 10.0.0.201 53 X
	asks "for one behind a router" "10.0.0.100 5000" A 203.0.113.2 53 F
	for n in W W54 X F; do check "$n answers" test "$(s back $n A)" != nothing; done
	seen=$(s ask B 10.0.0.200 53 W)
	check "another VM at the same port has another" test "$seen" != "10.0.0.100 5000"
	[ "$NAT" = nft ] || check "an even one" test $((${seen#* } % 2)) = 0
	check "which is answered" test "$(s back W B)" != nothing
	sleep 1.2 # nobody remembers where connections are
	for n in 1 2 3; do
		asks "later, $n" "10.0.0.100 5000" A 10.0.0.200 53 W
		asks "later, $n, the other" "$seen" B 10.0.0.200 53 W
	done
	[ "$NAT" = nft ] || json "they are two connections" '[.[] | select(.sport == 5000 and .dst == "10.0.0.200" and
		.dport == 53).state] == ["established", "established"]' flow show
	if [ "$NAT" = nft ]; then
		skip "the same for all servers" "nftables looks for a free port for each"
	else
		asks "the same for another port of the server" "$seen" B 10.0.0.200 54 W54
		asks "the same for another server" "$seen" B 10.0.0.201 53 X
		asks "the same for one behind a router" "$seen" B 203.0.113.2 53 F
	fi
	opened udp A6 a1 fd00:50::11 5000
	opened udp B6 a2 fd00:50::12 5000
	asks "a port is kept, IPv6" "fd00::100 5000" A6 fd00::200 53 W6
	seen=$(s ask B6 fd00::200 53 W6)
	check "another VM at the same port, IPv6" test "$seen" != "fd00::100 5000"
	[ "$NAT" = nft ] || asks "the same for another server, IPv6" "$seen" B6 fd00::201 53 X6
	s close A B A6 B6 >/dev/null
	# TCP: two sockets at one port, to two servers
	opened listen L2 wire 10.0.0.201 80
	for vm in a1:192.168.50.11 a2:192.168.50.12; do
		opened tcp T "${vm%:*}" "${vm#*:}" 5050
		opened tcp U "${vm%:*}" "${vm#*:}" 5050
		seen=$(s ask T 10.0.0.200 80 L)
		if [ "$NAT $vm" = "nft a2:192.168.50.12" ]; then continue; fi
		asks "TCP of ${vm%:*}: the same for another server" "$seen" U 10.0.0.201 80 L2
	done
	s reset T U L2 >/dev/null
}

# The same port everywhere.
twins() {
	local list
	list=$(s each a1 192.168.50.101 100 5000 10.0.0.200 53 W)
	distinct "100 VMs" "$list" 10.0.0.100 100
	[ "$NAT" = nft ] || equal "status counts displaced mappings" \
		"$(x -j status | jq '.maps[] | select(.name == "nat_endpoints").used')" \
		"$(bpftool -j map dump pinned "$(pins host)/nat_endpoints" | jq length)"
	equal "100 VMs: again" "$(s again 0 100)" "$list"
	list=$(s each a1 192.168.50.101 100 5001 10.0.0.200 53 W)
	distinct "100 VMs, an odd port" "$list" 10.0.0.100 100
	if [ "$NAT" = nft ]; then
		skip "parity" "nftables does not keep it"
	else
		equal "an odd port stays odd" "$(ports "$list" | awk '$1 % 2' | wc -l)" 100
		equal "and is none of the host's" "$(ports "$list" | awk '$1 >= 1024' | wc -l)" 100
		list=$(s each a1 192.168.50.101 20 500 10.0.0.200 53 W)
		distinct "20 VMs, a low port" "$list" 10.0.0.100 20
		equal "it stays low, and even" "$(ports "$list" | awk '$1 < 1024 && $1 % 2 == 0' | wc -l)" 20
	fi
	list=$(s each a1 fd00:50::101 100 5000 fd00::200 53 W6)
	distinct "100 VMs, IPv6" "$list" fd00::100 100
	equal "100 VMs, IPv6: again" "$(s again 0 100)" "$list"
	list=$(s each a1 192.168.50.101 100 5000 10.0.0.200 80 L)
	distinct "100 VMs, TCP" "$list" 10.0.0.100 100
	list=$(s each a1 fd00:50::101 100 5000 fd00::200 80 L6)
	distinct "100 VMs, TCP, IPv6" "$list" fd00::100 100
}

# ---- lists ----

# What a VM's lists deny opens no connection and takes no port, however its packets go.
lists() {
	local n
	opened udp A a1 192.168.50.11 5700
	opened tcp T a1 192.168.50.11 0
	must x acl add dev a1 out proto udp dport 54 deny
	asks "a list: what it does not deny" "10.0.0.100 5700" A 10.0.0.200 53 W
	for n in 1 2 3; do asks "what it denies, $n" nothing A 10.0.0.200 54 W54; done
	asks "the other again" "10.0.0.100 5700" A 10.0.0.200 53 W
	asks "to another server" "10.0.0.100 5700" A 10.0.0.201 53 X
	asks_from "TCP" 10.0.0.100 T 10.0.0.200 80 L
	json "the rule counts each packet once" '[.[].packets] == [3]' acl show dev a1 out
	json "there is no such connection" '[.[] | select(.dport == 54 and .sport == 5700)] == []' flow show
	must x port set dev a1 policy-out deny
	asks "a policy ends connections" nothing A 10.0.0.200 53 W
	asks "and lets none begin" nothing A 10.0.0.201 54 W54
	must x port set dev a1 policy-out allow
	asks "without it" "10.0.0.100 5700" A 10.0.0.200 53 W
	must x port set dev a1 policy-in deny
	asks "what comes in unasked may be denied" "10.0.0.100 5700" A 10.0.0.200 53 W
	equal "what was asked for comes" "$(s back W A)" "10.0.0.200 53"
	must x port set dev a1 policy-in allow
	must x acl del dev a1 out all
	asks "without the list" "10.0.0.100 5700" A 10.0.0.200 54 W54
	s close A T >/dev/null
}

# ---- filtering ----

filtering() {
	opened udp A a1 192.168.50.11 5600
	opened udp A6 a1 fd00:50::11 5600
	opened udp Y wire 10.0.0.201 0
	opened udp Y6 wire fd00::201 0
	asks "a mapping" "10.0.0.100 5600" A 10.0.0.200 53 W
	asks "a mapping, IPv6" "fd00::100 5600" A6 fd00::200 53 W6
	asks "by default, nobody else's packet comes in" nothing Y 10.0.0.100 5600 A
	asks "nor another port's" nothing W54 10.0.0.100 5600 A
	asks "nor IPv6" nothing Y6 fd00::100 5600 A6
	[ "$NAT" != nft ] || return 0
	must x network set priv filtering endpoint-independent
	asks "filtering endpoint-independent: anybody's does" "10.0.0.201 $(s port Y)" Y 10.0.0.100 5600 A
	equal "and is answered by the mapping" "$(s back A Y)" "10.0.0.100 5600"
	asks "IPv6" "fd00::201 $(s port Y6)" Y6 fd00::100 5600 A6
	equal "and is answered" "$(s back A6 Y6)" "fd00::100 5600"
	opened udp H host 10.0.0.100 5601
	asks "a port without a mapping is the host's" "10.0.0.201 $(s port Y)" Y 10.0.0.100 5601 H
	opened listen M a1 192.168.50.11 5600
	opened tcp T wire 10.0.0.201 0
	equal "TCP has no mapping here" "$(s ask T 10.0.0.100 5600 M)" ECONNREFUSED
	must x network set priv filtering endpoint-dependent
	opened udp Z wire 10.0.0.201 0
	asks "and back" nothing Z 10.0.0.100 5600 A
	s close A A6 Y Y6 Z H M T >/dev/null
}

# ---- the end of the ports ----

exhaustion() {
	local list before
	masquerade 10.0.0.100 ports 40000-40015
	list=$(s each a1 192.168.50.101 20 5700 10.0.0.200 53 W)
	equal "16 ports: each is used" "$(ports "$list" | grep . | sort)" "$(seq 40000 40015)"
	equal "and no more" "$(of "$list" | grep -c nothing)" 4
	equal "those that have one keep it" "$(s again 0 16)" "$(of "$list" | head -16 | paste -sd,)"
	equal "the others get none" "$(s again 16 20)" nothing,nothing,nothing,nothing
	opened tcp T a2 192.168.50.12 0
	asks_from "TCP has its own" 10.0.0.100 T 10.0.0.200 80 L
	check "echo too" pings a2 10.0.0.200
	list=$(s each a1 192.168.50.101 18 5700 10.0.0.200 80 L)
	check "TCP: 15 at least" test "$(ports "$list" | grep -c '^400[01]')" -ge 15
	check "TCP: all are in the range" test -z "$(of "$list" | grep '^10' | grep -v ' 400[01].$')"
	masquerade
	[ "$NAT" != nft ] || return 0

	before=$(drops a1 nat_exhausted)
	must x flow flush
	masquerade 10.0.0.100 ports 40000-40999
	craft_lab
	flood a1 1000 "$GW m90 ip/192.168.50.90/10.0.0.210 udp/%/53" true
	json "1000 ports: 1000 connections" '.count == 1000' flow count src 192.168.50.90
	equal "and none is refused" "$(drops a1 nat_exhausted)" "$before"
	json "each with a port of its own" 'map(.nat_port) | unique | length == 1000 and .[0] == 40000 and
		.[999] == 40999' flow show src 192.168.50.90
	flood a1 50 "$GW m90 ip/192.168.50.91/10.0.0.210 udp/%/53" true
	json "more are refused" '.count == 0' flow count src 192.168.50.91
	equal "and counted" "$(drops a1 nat_exhausted)" $((before + 50))
	must x flow flush src 192.168.50.90 dst 10.0.0.210
	flood a1 1000 "$GW m90 ip/192.168.50.91/10.0.0.210 udp/%/53" true
	json "all are free again" '.count == 1000' flow count src 192.168.50.91
	frames_close
	must x flow flush
	masquerade
}

quota() {
	local list before
	before=$(drops a1 conn_max)
	s each a1 192.168.50.101 0 0 10.0.0.200 53 W >/dev/null
	must x flow flush
	must x port set dev a1 conn-max 10
	list=$(s each a1 192.168.50.101 12 5800 10.0.0.200 53 W)
	equal "conn-max 10: ten connections" "$(of "$list" | grep -c ^10.0.0.100)" 10
	equal "and no more" "$(s again 10 12)" nothing,nothing
	check "counted" test "$(drops a1 conn_max)" -gt "$before"
	equal "the ten go on" "$(s again 0 10)" "$(of "$list" | head -10 | paste -sd,)"
	opened udp B a2 192.168.50.12 5800
	asks_from "another VM is not concerned" 10.0.0.100 B 10.0.0.200 53 W
	must x port set dev a1 conn-max none
	check "no limit" test "$(s again 10 12 | grep -c nothing)" = 0
	s close B >/dev/null
}

# ---- connections again, with the same addresses and ports ----

reuse() {
	local in=192.168.50.90 out=10.0.0.100 to=10.0.0.210 n
	opened tcp T a1 192.168.50.11 5900
	asks "TCP" "10.0.0.100 5900" T 10.0.0.200 80 L
	s reset T >/dev/null
	opened tcp T a1 192.168.50.11 5900
	asks "again after RST" "10.0.0.100 5900" T 10.0.0.200 80 L
	s reset T >/dev/null
	craft_lab
	n=0
	for end in "" FA R; do
		crafted "SYN $((++n))" out "tcp/4000/80/S/$((n * 100000))"
		crafted "SYN, ACK $n" in "tcp/80/4000/SA/900/$((n * 100000 + 1))"
		crafted "ACK $n" out "tcp/4000/80/A/$((n * 100000 + 1))/901"
		[ -n "$end" ] || continue
		crafted "$end" out "tcp/4000/80/$end/$((n * 100000 + 1))/901"
		[ $end = R ] || crafted "$end back" in "tcp/80/4000/$end/901/$((n * 100000 + 2))"
	done
	crafted "SYN after RST" out "tcp/4000/80/S/900000"
	crafted "both begin: SYN" out "tcp/4010/80/S/100"
	crafted "both begin: the other SYN" in "tcp/80/4010/S/900"
	crafted "both begin: SYN, ACK" out "tcp/4010/80/SA/100/901"
	crafted "both begin: the other SYN, ACK" in "tcp/80/4010/SA/900/101"
	crafted "both begin: data" out "tcp/4010/80/PA/101/901"
	[ "$NAT" = nft ] || answer "a SYN to a VM's port, unasked: no answer" wire \
		"m100 m210 ip/$to/$out tcp/81/4010/S/5"
	crafted "UDP without a checksum" out "udp/4000/53 zero"
	crafted "UDP without a checksum, back" in "udp/53/4000 zero"
	crafted "UDP with one" out "udp/4000/53"
	crafted "UDP with one, back" in "udp/53/4000"
	[ "$NAT" = nft ] || crafted "a wrong checksum stays wrong" out "udp/4000/53 bad"
	[ "$NAT" = nft ] || crafted "TCP with a wrong checksum" out "tcp/4000/80/A/900001/901 bad"
	frames_close
}

# ---- how long ----

timeouts() {
	must x flow flush
	opened udp A a1 192.168.50.11 6100
	opened tcp T a1 192.168.50.11 6100
	asks "UDP" "10.0.0.100 6100" A 10.0.0.200 53 W
	json "a mapping lasts 30 s until a reply" \
		'map(select(.sport == 6100)) | length == 1 and .[0].expires > 20 and .[0].expires <= 30' \
		flow show proto udp
	equal "a reply" "$(s back W A)" "10.0.0.200 53"
	json "then 300 s" 'map(select(.sport == 6100))[0] | .expires > 290 and .expires <= 300 and
		.src == "192.168.50.11" and .dst == "10.0.0.200" and .nat_addr == "10.0.0.100" and
		.nat_port == 6100 and .network == "priv" and .dev == "a1"' flow show proto udp
	asks "TCP" "10.0.0.100 6100" T 10.0.0.200 80 L
	json "TCP 7440 s" 'map(select(.sport == 6100))[0] | .expires > 7400 and .expires <= 7440' \
		flow show proto tcp
	s close T >/dev/null
	eventually "240 s when it closes" 2 sh -c \
		"$XDPCTL -n $P-host -j flow show proto tcp | jq -e 'map(select(.sport == 6100))[0].expires <= 240'"
	check "an echo" pings a1 10.0.0.200
	json "ICMP 60 s" 'length == 1 and .[0].expires > 50 and .[0].expires <= 60 and
		.[0].nat_addr == "10.0.0.100"' flow show proto icmp
	s close A >/dev/null
}

# ---- addresses ----

# now_from ADDRESS FROM TO PORT SERVER
now_from() {
	[[ $(s ask "$2" "$3" "$4" "$5") = "$1 "* ]]
}

renumbering() {
	opened udp A a1 192.168.50.11 6200
	opened udp A6 a1 fd00:50::11 6200
	asks "before" "10.0.0.100 6200" A 10.0.0.200 53 W
	asks "before, IPv6" "fd00::100 6200" A6 fd00::200 53 W6
	must ip -n "$P-host" address del 10.0.0.100/24 dev nic0
	must ip -n "$P-host" address add 10.0.0.110/24 dev nic0
	must ip -n "$P-host" route replace default via 10.0.0.200
	must ip -n "$P-host" address add fd00::110/64 dev nic0 nodad
	must ip -n "$P-host" address del fd00::100/64 dev nic0
	eventually "the uplink has another address: a VM too" 5 now_from 10.0.0.110 A 10.0.0.200 53 W
	equal "and is answered" "$(s back W A)" "10.0.0.200 53"
	eventually "IPv6" 5 now_from fd00::110 A6 fd00::200 53 W6
	equal "and is answered" "$(s back W6 A6)" "fd00::200 53"
	opened udp B a2 192.168.50.12 6200
	asks_from "another VM" 10.0.0.110 B 10.0.0.200 53 W
	check "ping" pings a1 10.0.0.200
	must ip -n "$P-host" address del 10.0.0.110/24 dev nic0
	opened udp C a2 192.168.50.12 6201
	asks "no address: nothing leaves" nothing C 10.0.0.200 53 W
	must ip -n "$P-host" address add 10.0.0.100/24 dev nic0
	must ip -n "$P-host" route replace default via 10.0.0.200
	must ip -n "$P-host" address add fd00::100/64 dev nic0 nodad
	must ip -n "$P-host" address del fd00::110/64 dev nic0
	eventually "the old one again" 5 now_from 10.0.0.100 C 10.0.0.200 53 W
	eventually "and for who was there before" 5 now_from 10.0.0.100 A 10.0.0.200 53 W
	eventually "IPv6" 5 now_from fd00::100 A6 fd00::200 53 W6
	s close A A6 B C >/dev/null
}

pooling() {
	local n list seen address server
	for n in 1 2 3 4; do must ip -n "$P-host" address add 10.0.0.10$n/24 dev nic0; done
	must x flow flush
	masquerade 10.0.0.101
	opened udp A a1 192.168.50.11 6200
	seen=$(s ask A 10.0.0.200 53 W)
	list=$(s each a1 192.168.50.101 100 6200 10.0.0.200 53 W)
	masquerade 10.0.0.101-10.0.0.104
	sleep 1.2 # nobody remembers where connections are
	equal "more addresses: connections keep theirs" "$(s again 0 100)" "$list"
	asks "as do endpoints" "$seen" A 10.0.0.201 53 X
	s close A >/dev/null
	must x flow flush
	list=$(s each a1 192.168.50.101 100 6300 10.0.0.200 53 W)
	equal "four addresses: all are used" "$(of "$list" | cut -d' ' -f1 | sort -u | paste -sd' ')" \
		"10.0.0.101 10.0.0.102 10.0.0.103 10.0.0.104"
	equal "and different endpoints" "$(of "$list" | sort -u | wc -l)" 100
	opened udp A a1 192.168.50.11 6300
	seen=$(s ask A 10.0.0.200 53 W)
	address=${seen% *}
	for n in 1 2 3 4 5 6; do
		opened udp B a1 192.168.50.11 $((6300 + n))
		if ((n % 2)); then server=X; else server=W; fi
		asks_from "a VM has one address, $n" "$address" B 10.0.0.20$((n % 2)) 53 $server
	done
	opened tcp T a1 192.168.50.11 0
	asks_from "for TCP too" "$address" T 10.0.0.200 80 L
	check "ping" pings a1 10.0.0.200
	must x nat masquerade priv to uplink
	opened udp B a1 192.168.50.11 6310
	must x flow flush
	asks "and the uplink's again" "10.0.0.100 6310" B 10.0.0.200 53 W
	refused "an address that the uplink has not" 1 10.0.0.99 nat masquerade priv to 10.0.0.99
	s close A B T >/dev/null
}

for hook in $HOOKS; do
	nat_lab "$hook"
	many
	servers
	mapping
	twins
	[ "$NAT" = nft ] || lists
	filtering
	exhaustion
	[ "$NAT" = nft ] || quota
	[ "$NAT" = nft ] || timeouts
	reuse
	renumbering
	[ "$NAT" = nft ] || pooling
	nat_down
done
finish

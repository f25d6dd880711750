#!/bin/bash
# nat_forward.sh - forwarded ports and static translations of a nat network: from the wire, from
# the host, and from VMs, whom the server sees with the external address; with the hooks tc
# and xdp. The lab is in nat_lab.sh.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=nat_lab.sh
. "$(dirname "$0")/nat_lab.sh"

# Everything of one family. SERVER is a1's address, CLIENT a2's, EXTERNAL the uplink's.
family() {
	local server=$2 client=$3 external=$4 wire=$5 far=$6 other=$7 bridge=$8 seen who
	forward tcp - 8080 "$server" 80
	forward udp - 5353 "$server" 53
	forward tcp - 6000-6009 "$client" 6000
	opened listen M a1 "$server" 80
	opened udp U a1 "$server" 53
	opened listen R a2 "$client" 6005
	opened listen S a2 "$client" 6009

	opened tcp T wire "$wire" 0
	opened udp Y wire "$wire" 0
	opened udp Z wire "$wire" 0
	asks "$1: TCP from the wire, as it is" "$wire $(s port T)" T "$external" 8080 M
	asks "$1: it goes on" "$wire $(s port T)" T "$external" 8080 M
	asks "$1: UDP from the wire" "$wire $(s port Y)" Y "$external" 5353 U
	equal "$1: is answered by the external address" "$(s back U Y)" "$external 5353"
	asks "$1: from another port" "$wire $(s port Z)" Z "$external" 5353 U
	equal "$1: is answered too" "$(s back U Z)" "$external 5353"
	opened tcp T wire "$wire" 0
	asks "$1: a port in a range" "$wire $(s port T)" T "$external" 6005 R
	opened tcp T wire "$wire" 0
	asks "$1: the last port of a range" "$wire $(s port T)" T "$external" 6009 S
	opened tcp T far "$far" 0
	asks "$1: from far away" "$far $(s port T)" T "$external" 8080 M
	opened udp Y far "$far" 0
	asks "$1: UDP from far away" "$far $(s port Y)" Y "$external" 5353 U
	equal "$1: is answered" "$(s back U Y)" "$external 5353"

	opened listen N a1 "$server" 6010
	opened tcp T wire "$wire" 0
	equal "$1: the port after a range is not forwarded" "$(s ask T "$external" 6010 N)" ECONNREFUSED
	opened udp V a1 "$server" 80
	asks "$1: nor is another protocol" nothing Z "$external" 8080 V

	opened tcp T host "$external" 0
	opened udp Y host "$external" 0
	reaches "$1: TCP from the host" T "$external" 8080 M
	reaches "$1: UDP from the host" Y "$external" 5353 U
	equal "$1: is answered" "$(s back U Y)" "$external 5353"

	for who in "a2 $client" "a1 $server" "b1 $other"; do
		# shellcheck disable=SC2086 # a space and an address
		opened tcp T $who 0
		# shellcheck disable=SC2086
		opened udp Y $who 0
		asks_from "$1: TCP from ${who% *} has the external address" "$external" T "$external" 8080 M
		asks_from "$1: UDP from ${who% *} too" "$external" Y "$external" 5353 U
		equal "$1: is answered by the external address" "$(s back U Y)" "$external 5353"
		seen=$(s ask Y "$external" 5353 U)
		asks "$1: with the same port again" "$seen" Y "$external" 5353 U
	done
	if [ "$NAT$ALONE" = xdpctl ]; then
		opened tcp T v1 "$bridge" 0
		asks "$1: from a VM that is on the wire" "$bridge $(s port T)" T "$external" 8080 M
	fi
	opened tcp T a2 "$client" 0
	asks "$1: inside, by its own address" "$client $(s port T)" T "$server" 80 M
	opened listen L host "$external" 8082
	opened tcp T wire "$wire" 0
	asks "$1: a port of the host's beside" "$wire $(s port T)" T "$external" 8082 L
	equal "$1: 2 MiB both ways from the wire" "$(s stream wire "$external" 8080 M 2)" ok
	equal "$1: 2 MiB both ways from a VM" "$(s stream a2 "$external" 8080 M 2)" ok
	equal "$1: 2 MiB both ways from the host" "$(s stream host "$external" 8080 M 2)" ok
	s close M U R S T Y Z N V L >/dev/null
}

# Forwards end, and what they let in.
removal() {
	opened listen M a1 192.168.50.11 80
	opened udp U a1 192.168.50.11 53
	opened tcp T wire 10.0.0.200 0
	opened udp Y wire 10.0.0.200 0
	asks_from "before: TCP" 10.0.0.200 T 10.0.0.100 8080 M
	asks_from "before: UDP" 10.0.0.200 Y 10.0.0.100 5353 U
	json "shown" 'map(select(.kind == "forward" and .proto == "tcp" and .external_port == 8080 and
		.internal == "192.168.50.11" and .internal_port == 80 and .network == "priv")) | length == 1' \
		nat show
	json "connections have both addresses" 'map(select(.dport == 80 and .nat_addr == "10.0.0.100" and
		.nat_port == 8080)) | length >= 1' flow show proto tcp
	for proto in tcp:8080 udp:5353; do forward_del ${proto%:*} - ${proto#*:}; done
	asks "a removed forward ends its connections" nothing T 10.0.0.100 8080 M
	asks "and UDP's" nothing Y 10.0.0.100 5353 U
	json "in the table too" 'map(select(.nat_port == 8080)) == []' flow show
	opened tcp T wire 10.0.0.200 0
	equal "no new ones" "$(s ask T 10.0.0.100 8080 M)" ECONNREFUSED
	opened listen H host 10.0.0.100 8080
	opened tcp T wire 10.0.0.200 0
	asks_from "the port is the host's again" 10.0.0.200 T 10.0.0.100 8080 H
	refused "a forward for a port that the host listens at" 1 8080 \
		nat forward add priv tcp 8080 to 192.168.50.11:80
	refused "a forward for a port of another's range" 1 6004 \
		nat forward add other tcp 6004 to 192.168.60.13:80
	s close M U T Y H >/dev/null
}

# A forward takes a port that a mapping has.
taken() {
	opened udp A a2 192.168.50.12 7777
	opened udp W wire 10.0.0.200 53
	opened udp U a1 192.168.50.11 53
	asks "a VM's mapping" "10.0.0.100 7777" A 10.0.0.200 53 W
	forward udp - 7777 192.168.50.11 53
	asks "a forward takes its port" "10.0.0.200 53" W 10.0.0.100 7777 U
	asks_from "and the VM gets another" 10.0.0.100 A 10.0.0.200 53 W
	equal "that is answered" "$(s back W A)" "10.0.0.200 53"
	check "not the same" test "$(s ask A 10.0.0.200 53 W)" != "10.0.0.100 7777"
	forward_del udp - 7777
	s close A W U >/dev/null
}

# Only one of the uplink's addresses.
addresses() {
	opened listen M a1 192.168.50.11 80
	opened tcp T wire 10.0.0.200 0
	forward tcp 10.0.0.101 8090 192.168.50.11 80
	asks_from "a forward of one address" 10.0.0.200 T 10.0.0.101 8090 M
	opened tcp T wire 10.0.0.200 0
	equal "not of the other" "$(s ask T 10.0.0.100 8090 M)" ECONNREFUSED
	forward tcp - 8091 192.168.50.11 80
	for address in 10.0.0.100 10.0.0.101; do
		opened tcp T wire 10.0.0.200 0
		asks_from "a forward of all addresses, $address" 10.0.0.200 T $address 8091 M
	done
	s close M T >/dev/null
}

# A VM with an address for itself.
static() {
	local external=10.0.0.102 inner=192.168.50.12 wire=10.0.0.200 name=IPv4
	for name in IPv4 IPv6; do
		if [ $name = IPv6 ]; then external=fd00::102 inner=fd00:50::12 wire=fd00::200; fi
		must x nat static add priv $external $inner
		opened udp A a2 $inner 5000
		opened udp C a1 "${inner%2}1" 5000
		opened listen M a2 $inner 22
		opened udp W wire $wire 53
		opened tcp T wire $wire 0
		opened udp Y wire $wire 0
		asks "static, $name: outgoing" "$external 5000" A $wire 53 W
		asks_from "static, $name: not another VM's" "${external%2}0" C $wire 53 W
		asks "static, $name: TCP comes in" "$wire $(s port T)" T $external 22 M
		asks "static, $name: UDP comes in" "$wire $(s port Y)" Y $external 5000 A
		equal "static, $name: is answered" "$(s back A Y)" "$external 5000"
		check "static, $name: ping comes in" pings wire $external
		check "static, $name: ping goes out" pings a2 $wire
		opened tcp T a1 "${inner%2}1" 0
		asks_from "static, $name: from another VM" "${external%2}0" T $external 22 M
		opened tcp T host "${external%2}0" 0
		reaches "static, $name: from the host" T $external 22 M
		must x nat static del priv $external
		asks "static, $name: removed" nothing Y $external 5000 A
		asks_from "static, $name: as any VM again" "${external%2}0" A $wire 53 W
		s close A C M W T Y >/dev/null
	done
}

# SCTP, of which this kernel may have nothing. Its checksum covers the ports.
sctp() {
	local from=10.0.0.210 to=10.0.0.100 vm=192.168.50.90
	craft_lab
	for family in IPv4 IPv6; do
		[ $family = IPv4 ] || from=fd00::210 to=fd00::100 vm=fd00:50::90
		forward sctp - 9000 $vm 9000
		forward sctp - 9001 $vm 9002
		routed "SCTP, $family" wire "m100 m210 ip/$from/$to sctp/7000/9000" \
			"a1=m90 $GW ip/$from/$vm/ttl=63 sctp/7000/9000"
		routed "SCTP, $family: back" a1 "$GW m90 ip/$vm/$from sctp/9000/7000" \
			"wire=m210 m100 ip/$to/$from/ttl=63 sctp/9000/7000"
		routed "SCTP, $family: to another port" wire "m100 m210 ip/$from/$to sctp/7000/9001" \
			"a1=m90 $GW ip/$from/$vm/ttl=63 sctp/7000/9002"
		routed "SCTP, $family: back" a1 "$GW m90 ip/$vm/$from sctp/9002/7000" \
			"wire=m210 m100 ip/$to/$from/ttl=63 sctp/9001/7000"
		routed "SCTP, $family: outgoing" a1 "$GW m90 ip/$vm/$from sctp/4000/5000" \
			"wire=m210 m100 ip/$to/$from/ttl=63 sctp/4000/5000"
		routed "SCTP, $family: its answer" wire "m100 m210 ip/$from/$to sctp/5000/4000" \
			"a1=m90 $GW ip/$from/$vm/ttl=63 sctp/5000/4000"
	done
	frames_close
}

for hook in $HOOKS; do
	ALONE=''
	[ "$hook" = tc ] || ALONE=1 # with a bridge network beside, and without
	nat_lab "$hook"
	for address in 10.0.0.101/24 10.0.0.102/24; do
		must ip -n "$P-host" address add $address dev nic0
	done
	must ip -n "$P-host" address add fd00::102/64 dev nic0 nodad preferred_lft 0
	family IPv4 192.168.50.11 192.168.50.12 10.0.0.100 10.0.0.200 203.0.113.2 192.168.60.13 10.0.0.1
	family IPv6 fd00:50::11 fd00:50::12 fd00::100 fd00::200 fd01::2 fd00:60::13 fd00::1
	addresses
	if [ "$NAT" != nft ]; then
		removal
		taken
		static
		sctp
	fi
	nat_down
done
finish

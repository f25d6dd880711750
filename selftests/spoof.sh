#!/bin/bash
# spoof.sh - ports that cannot lie: VMs with the addresses that are theirs, real stacks that
# try others, rogue DHCP servers and routers; with the hooks tc and xdp.
#
#     v1   10.0.0.1   a victim              ┐
#     v2   10.0.0.2   guarded, and it lies  ┼ lan (bridge) ─ nic0 ── wire, and the host
#     v3   10.0.0.3   not guarded           │
#     v4   guarded; gets its addresses      ┘
# shellcheck disable=SC2317 # functions are called by check

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# counts DEV REASON CMD...: CMD makes the port drop for REASON.
counts() {
	local dev=$1 reason=$2 before
	shift 2
	before=$(drops "$dev" "$reason")
	"$@" || return 1
	[ "$(drops "$dev" "$reason")" -gt "$before" ] || { echo "$reason: $before as before" && return 1; }
}

# known AT ADDRESS: the hardware address that a VM believes in.
known() {
	ip -n "$P-$1" -j neigh show "$2" | jq -r '.[0].lladdr'
}

# believes AT ADDRESS N: after a while, AT still has N's hardware address for ADDRESS.
believes() {
	local seen
	sleep 0.2
	seen=$(known "$1" "$2")
	[ "$seen" = "$(mac "$3")" ] || { echo "$1 has $seen for $2" && return 1; }
}

announce() { # VM ADDRESS: gratuitous ARP, request and reply
	ns "$1" busybox arping -q -c 2 -U -I eth0 -s "$2" "$2"
	ns "$1" busybox arping -q -c 2 -A -I eth0 -s "$2" "$2"
	return 0
}

# advertise VM PREFIX/64: a router advertisement (RFC 4861, 4.2), for addresses to be made of.
advertise() {
	ns "$1" python3 - "$2" <<'PYTHON'
import ipaddress, socket, struct, sys
prefix = ipaddress.ip_network(sys.argv[1])
option = struct.pack("!BBBBIII", 3, 4, prefix.prefixlen, 0xc0, 3600, 3600, 0) + prefix.network_address.packed
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + option,
         ("ff02::1", 0, 0, socket.if_nametoindex("eth0")))
PYTHON
}

# has VM ADDRESS: it is configured, and not found to be another's.
has() {
	ip -n "$P-$1" -j -6 address show dev eth0 | jq -e --arg a "$2" \
		'[.[].addr_info[] | select(.local == $a and (.tentative or .dadfailed | not))] | length == 1'
}

# serve VM ADDRESS: a DHCP server that gives away one address. Its pid is in $server.
serve() {
	cat >"$T/udhcpd-$1" <<-EOF
		start $2
		end $2
		interface eth0
		lease_file $T/leases-$1-$2
		pidfile $T/udhcpd-$1.pid
		option subnet 255.255.255.0
	EOF
	: >"$T/leases-$1-$2"
	spawn "$1" busybox udhcpd -f -a 100 "$T/udhcpd-$1" 2>/dev/null
	server=$!
}

# leases VM: the address that DHCP gives it, or nothing.
leases() {
	ns "$1" busybox udhcpc -f -n -q -t 3 -T 1 -i eth0 -s "$T/lease" 2>/dev/null
}

gets() { # VM ADDRESS
	local seen
	seen=$(leases "$1")
	[ "$seen" = "$2" ] || { echo "$1 got \"$seen\"" && return 1; }
}

# shellcheck disable=SC2016 # sh expands
printf '#!/bin/sh\n[ "$1" != bound ] || echo "$ip"\n' >"$T/lease"
chmod +x "$T/lease"

own_addresses() {
	check "own addresses work" pings v2 10.0.0.3
	check "IPv6 ones, too" pings v2 fd00::3
	check "to the wire" pings v2 10.0.0.200
	check "to the host" pings v2 fd00::100
	check "from another VM" pings v1 10.0.0.2
	check "in bulk" transfer v2 v3 10.0.0.3 16
	check "in bulk, IPv6" transfer v3 v2 fd00::2 16
	check "checksums are right" checksums_right
}

other_addresses() {
	must ip -n "$P-v2" address add 10.0.0.77/24 dev eth0
	must ip -n "$P-v2" address add fd00::77/64 dev eth0 nodad
	must ip -n "$P-v2" neigh flush dev eth0
	check "another address is silent" counts v2 arp_spoof silent v2 10.0.0.3 -I 10.0.0.77
	must ip -n "$P-v3" neigh replace 10.0.0.77 lladdr "$(mac 2)" dev eth0
	must ip -n "$P-v2" neigh replace 10.0.0.1 lladdr "$(mac 1)" dev eth0
	check "also when nobody asks" counts v2 ip_spoof silent v2 10.0.0.1 -I 10.0.0.77
	check "another IPv6 address is silent" counts v2 ip_spoof silent v2 fd00::3 -I fd00::77
	check "and not found" counts v2 ip_spoof silent v3 fd00::77
	check "to the wire" silent v2 10.0.0.200 -I 10.0.0.77
	check "to the host" silent v2 fd00::100 -I fd00::77
	must x port set dev v2 ip 10.0.0.2,10.0.0.77,fd00::2,fd00::77
	check "until it is allowed" pings v2 10.0.0.3 -I 10.0.0.77
	check "in IPv6" pings v2 fd00::3 -I fd00::77
	must x port set dev v2 ip 10.0.0.2,fd00::2
	check "and at once no more" counts v2 ip_spoof silent v2 10.0.0.3 -I 10.0.0.77
	check "in IPv6" counts v2 ip_spoof silent v2 fd00::3 -I fd00::77
	must ip -n "$P-v2" address del 10.0.0.77/24 dev eth0
	must ip -n "$P-v2" address del fd00::77/64 dev eth0
}

announcements() {
	must ns v3 sysctl -qw net.ipv4.neigh.eth0.locktime=0
	must ns v2 sysctl -qw net.ipv4.conf.all.arp_ignore=0
	must pings v3 10.0.0.1
	must pings v3 fd00::1
	must ip -n "$P-v2" address add 10.0.0.1/24 dev eth0
	must ip -n "$P-v2" address add fd00::1/64 dev eth0 nodad
	check "a false ARP announcement is dropped" counts v2 arp_spoof announce v2 10.0.0.1
	check "... and not believed" believes v3 10.0.0.1 1
	must ip -n "$P-v3" neigh flush dev eth0
	check "a false answer is dropped" counts v2 arp_spoof pings v3 10.0.0.1
	check "... and not believed" believes v3 10.0.0.1 1
	check "a false neighbour advertisement is dropped" counts v2 ip_spoof pings v3 fd00::1
	check "... and not believed" believes v3 fd00::1 1
	must x port set dev v2 mac any ip any
	announce v2 10.0.0.1
	check "without the guard, it is" believes v3 10.0.0.1 2
	must x port set dev v2 mac "$(mac 2)" ip 10.0.0.2,fd00::2
	must ip -n "$P-v2" address del 10.0.0.1/24 dev eth0
	must ip -n "$P-v2" address del fd00::1/64 dev eth0
	must ip -n "$P-v3" neigh flush dev eth0
}

another_mac() {
	must ip -n "$P-v2" link set eth0 address "$(mac 9)"
	must ip -n "$P-v2" neigh flush dev eth0
	check "own IP address from another MAC address" counts v2 mac_spoof silent v2 10.0.0.3
	must x port set dev v2 mac any ip 10.0.0.2,fd00::2
	check "... is right without mac" pings v2 10.0.0.3
	must ip -n "$P-v2" link set eth0 address "$(mac 2)"
	must x port set dev v2 mac "$(mac 2)"
	must ip -n "$P-v3" neigh flush dev eth0
	check "and the own one again" pings v2 10.0.0.3
}

# v4 starts: duplicate address detection, router solicitation, SLAAC, DHCP.
set_up() {
	local link=fe80::ff:fe00:4 one=fd00:5::ff:fe00:4
	netns v4
	must ns v4 sysctl -qw net.ipv6.conf.{all,default}.accept_dad=1 net.ipv6.conf.default.router_solicitations=1 \
		net.ipv6.conf.default.router_solicitation_delay=0 net.ipv6.conf.default.addr_gen_mode=0
	must ip -n "$P-host" link add name v4 type veth peer name eth0 address "$(mac 4)" netns "$P-v4"
	must ip -n "$P-host" link set dev v4 up
	must x port add lan dev v4 hook $hook mac "$(mac 4)" ip 10.0.0.50,fd00:5::/64
	must ip -n "$P-v3" address add fd00:5::3/64 dev eth0 nodad
	must ip -n "$P-v4" link set eth0 up
	must gro v4
	eventually "a link-local address stands DAD" 5 has v4 $link
	check "... and is used" pings v4 fe80::ff:fe00:3%eth0
	check "a rogue router is not heard" counts v2 ra_guard advertise v2 fd00:bad::/64
	must advertise v3 fd00:5::/64
	eventually "a router gives an address" 5 has v4 $one
	check "... which works" pings v4 fd00:5::3
	check_not "... and the rogue gave none" has v4 fd00:bad::ff:fe00:4
	json "nothing of this was dropped" '[.[0].drops | .ip_spoof, .arp_spoof, .nd_spoof, .bad_header] == [0, 0, 0, 0]' \
		stats dev v4
	must x port set dev v2 ra on
	must advertise v2 fd00:bad::/64
	eventually "ra on makes it a router" 5 has v4 fd00:bad::ff:fe00:4
	check "whose addresses are of no use to others" counts v4 ip_spoof silent v4 fd00:5::3 -I fd00:bad::ff:fe00:4
	must x port set dev v2 ra off
}

dhcp() {
	local server
	serve v3 10.0.0.50
	check "DHCP through a guarded port" gets v4 10.0.0.50
	end "$server"
	json "... loses nothing" '[.[0].drops | .arp_spoof, .dhcp_server] == [0, 0]' stats dev v4
	serve v2 10.0.0.66
	check "a rogue server's offer is dropped" counts v2 dhcp_server gets v4 ""
	serve v3 10.0.0.50
	check "... while the real one serves" gets v4 10.0.0.50
	end "$server"
	must x port set dev v2 dhcp-server on
	check "dhcp-server on lets it serve, at once" gets v4 10.0.0.66
	must x port set dev v2 dhcp-server off
	check "and off not, at once" gets v4 ""
}

# While a stream runs: a change that keeps its address does not touch it, another stops it.
under_traffic() {
	local before stream ping
	before=$(drops v2 ip_spoof)
	check "settings change under a stream" changing_under_stream
	equal "... and nothing of it is dropped" "$(drops v2 ip_spoof)" "$before"
	spawn v2 ping -q -i 0.01 10.0.0.3 >"$T/ping"
	ping=$!
	sleep 0.3
	must x port set dev v2 ip 10.0.0.9
	before=$(x -j stats dev v3 | jq '.[0].tx_packets')
	sleep 0.3
	equal "an address taken away is of no use at once" "$(x -j stats dev v3 | jq '.[0].tx_packets')" "$before"
	must x port set dev v2 ip 10.0.0.2,fd00::2
	eventually "and back" 3 pings v2 10.0.0.3
	end $ping
}

changing_under_stream() {
	local stream n=0
	data 64 >/dev/null
	transfer v2 v3 10.0.0.3 64 &
	stream=$!
	while kill -0 "$stream" 2>/dev/null && [ "$n" -lt 100 ]; do
		x port set dev v2 ip 10.0.0.2,fd00::2,10.1.0.0/16 mac "$(mac 2)" || return 1
		x port set dev v2 mac "$(mac 2),$(mac 9)" ip fd00::/64,10.0.0.2 policy-out allow || return 1
		((++n))
	done
	wait "$stream" && [ "$n" -gt 1 ]
}

restores() {
	must x port set dev v2 mac any ip any dhcp-server on ra on
	must ip -n "$P-v2" address add 10.0.0.77/24 dev eth0
	check "without any of it, any address works" pings v2 10.0.0.3 -I 10.0.0.77
	must x port del dev v2
	equal "a removed port leaves no prefixes" "$(bpftool -j map dump pinned "$(pins host)/port_ips" |
		jq '[.[] | (.formatted // .).key.port] | unique | length')" 1
}

for hook in tc xdp; do
	LABEL="$hook: "
	topology v1 v2 v3
	must x network add lan mode bridge uplink nic0
	for vm in v1 v3; do must x port add lan dev $vm hook $hook; done
	must x port add lan dev v2 hook $hook mac "$(mac 2)" ip 10.0.0.2,fd00::2
	must gro v1 v2 v3 wire
	own_addresses
	other_addresses
	announcements
	another_mac
	set_up
	dhcp
	under_traffic
	restores
	down
done
finish

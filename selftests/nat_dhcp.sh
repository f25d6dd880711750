#!/bin/bash
# nat_dhcp.sh - dnsmasq on the host's device of a nat network: a VM without addresses gets a
# lease, a default route, names, and by router advertisements IPv6, and reaches the wire. The lab
# is in nat_lab.sh.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# What a server on the gateway device does not know of is the hook. HOOKS="tc xdp" tries both.
HOOKS=${HOOKS:-tc}
# shellcheck source-path=SCRIPTDIR source=nat_lab.sh
. "$(dirname "$0")/nat_lab.sh"
ALONE=1

# A VM as it boots: no address, and it will ask for routers.
bare() {
	netns d1
	must ip -n "$P-host" link add name d1 type veth peer name eth0 address "$(mac 15)" netns "$P-d1"
	must ip -n "$P-host" link set dev d1 up
	must ns d1 sysctl -qw net.ipv6.conf.eth0.router_solicitations=3 net.ipv6.conf.eth0.accept_ra=1 \
		net.ipv6.conf.eth0.router_solicitation_delay=0
	nat_port "$1" d1
	must ip -n "$P-d1" link set eth0 up
	cat >"$T/udhcpc" <<-'END'
		#!/bin/sh
		[ "$1" = bound ] || exit 0
		ip address replace "$ip/$mask" dev "$interface"
		ip route replace default via "$router"
		echo "$ip/$mask via $router dns $dns server $serverid"
	END
	chmod +x "$T/udhcpc"
}

# serve NETWORK NUMBER
serve() {
	spawn host dnsmasq --keep-in-foreground --conf-file=/dev/null --log-facility="$T/dnsmasq.log" \
		--pid-file="$T/dnsmasq.pid" --interface="$1" --except-interface=lo --bind-interfaces \
		--user=root --no-resolv --no-hosts --dhcp-leasefile="$T/leases.$1" --dhcp-authoritative \
		--dhcp-range="192.168.$2.100,192.168.$2.150,10m" --no-ping \
		--dhcp-range="::,constructor:$1,ra-stateless" --enable-ra --address=/gateway.test/"192.168.$2.1"
}

# offered: a lease comes, with all that belongs to it.
offered() {
	local seen net="192\.168\.$1"
	seen=$(ns d1 busybox udhcpc -i eth0 -f -q -n -t 5 -T 1 -s "$T/udhcpc" 2>&1)
	grep -E "^$net\.1[0-5][0-9]/(24|255\.255\.255\.0) via $net\.1 dns $net\.1 server $net\.1$" <<<"$seen" ||
		{ echo "$seen" && return 1; }
}

# advertised: an address of the prefix, and the way out.
advertised() {
	ip -n "$P-d1" -6 address show dev eth0 | grep -q "fd00:$1:.*scope global" &&
		ip -n "$P-d1" -6 route show default | grep 'via fe80'
}

resolves() {
	ns d1 busybox nslookup -type=a gateway.test "192.168.$1.1" | grep -F "Address: 192.168.$1.1"
}

for hook in $HOOKS; do
	nat_lab "$hook"
	for network in priv:50 only:70; do
		LABEL="$hook: ${network%:*}: "
		serve "${network%:*}" "${network#*:}"
		server=$!
		eventually "dnsmasq serves" 5 grep -qs "DHCP, IP range" "$T/dnsmasq.log"
		bare "${network%:*}"
		check "a lease" offered "${network#*:}"
		check "is noted by the server" grep -qF "$(mac 15)" "$T/leases.${network%:*}"
		eventually "router advertisement" 6 advertised "${network#*:}"
		check "a name is resolved" resolves "${network#*:}"
		check "the gateway" pings d1 "192.168.${network#*:}.1"
		check "the gateway, IPv6" pings d1 "fd00:${network#*:}::1"
		if [ "${network%:*}" = priv ]; then
			check "the wire" pings d1 10.0.0.200
			check "the wire, IPv6" pings d1 fd00::200
			check "far, IPv6" pings d1 fd01::2
		else
			check "not the wire" mute d1 10.0.0.200
			check "not the wire, IPv6" mute d1 fd00::200
		fi
		end $server
		rm -f "$T/dnsmasq.log"
		[ "$NAT" = nft ] || must x port del dev d1
		must ip -n "$P-host" link del d1
		must ip netns del "$P-d1"
		unset 'lib_spaces[-1]'
	done
	LABEL="$hook: "
	nat_down
done
finish

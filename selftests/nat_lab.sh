# shellcheck shell=bash
# nat_lab.sh - what the tests of NAT share: a lab with networks of modes nat and hostonly, sockets
# at all its corners, and somebody who looks for private addresses on the wire. Sourced after
# lib.sh.
#
#     a1 192.168.50.11 ─ a1 ┐                host, 10.0.0.100
#     a2 192.168.50.12 ─ a2 ┴ priv (nat) ─┐         a router
#     b1 192.168.60.13 ─ b1 ─ other (nat) ┼─ nic0 ─ wire 10.0.0.200, .201 ─ far 203.0.113.2
#     v1 10.0.0.1      ─ v1 ─ lan (bridge)┘
#     h1 192.168.70.14 ─ h1 ─ only (hostonly)
#
# IPv6: fd00:50::11, fd00:60::13, fd00:70::14; fd00::1, fd00::100, fd00::200, fd00::201; fd01::2 far.
# The gateways are .1 and ::1. Ethernet addresses are m11, m12, m13, m14, m1, m100, m200.
#
# ALONE=1: without `lan`; nic0 is the uplink of nat networks alone, and their packets take the short
# way at both ends.
#
# NAT=nft in the environment puts the kernel's forwarding and nftables in the place of xdpctl, to see
# that what the tests expect of a NAT can be had, and where nftables does something else. It
# cannot have `lan`, whose uplink keeps its addresses.

NAT=${NAT:-xdpctl}
ALONE=${ALONE-}
if [ "$NAT" = nft ]; then HOOKS="nft"; else HOOKS="${HOOKS:-tc xdp}"; fi

# vm NAME N NETWORK-NUMBER: a namespace NAME whose eth0 is N of 192.168.NUMBER.0/24.
vm() {
	netns "$1"
	must ip -n "$P-host" link add name "$1" type veth peer name eth0 address "$(mac "$2")" netns "$P-$1"
	must ip -n "$P-host" link set dev "$1" up
	must ip -n "$P-$1" link set eth0 up
	must ip -n "$P-$1" address add "192.168.$3.$2/24" dev eth0
	must ip -n "$P-$1" address add "fd00:$3::$2/64" dev eth0 nodad
	must ip -n "$P-$1" route add default via "192.168.$3.1"
	must ip -n "$P-$1" route add default via "fd00:$3::1"
}

# The wire, the router's second addresses, and what is behind it.
nat_wire() {
	local address
	veth wire 200 nic0
	must ip -n "$P-host" link set nic0 address "$(mac 100)"
	must ip -n "$P-host" address add 10.0.0.100/24 dev nic0
	must ip -n "$P-host" address add fd00::100/64 dev nic0 nodad
	must ip -n "$P-host" route add default via 10.0.0.200
	must ip -n "$P-host" route add default via fd00::200
	must ip -n "$P-wire" address add 10.0.0.201/24 dev eth0
	must ip -n "$P-wire" address add fd00::201/64 dev eth0 nodad preferred_lft 0
	netns far
	must ip -n "$P-wire" link add far0 type veth peer name eth0 netns "$P-far"
	for address in 203.0.113.1/24 fd01::1/64; do must ip -n "$P-wire" address add $address dev far0; done
	for address in 203.0.113.2/24 fd01::2/64; do must ip -n "$P-far" address add $address dev eth0; done
	must ip -n "$P-wire" link set far0 up
	must ip -n "$P-far" link set eth0 up
	must ip -n "$P-far" route add default via 203.0.113.1
	must ip -n "$P-far" route add default via fd01::1
	must ns wire sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
		net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
	must ns host sysctl -qw net.ipv4.ip_forward=0 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
	must ns far sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
	nat_watch
}

# Counts what must not be on the wire.
nat_watch() {
	must ns wire nft -f - <<-END
		table netdev watch {
			chain in {
				type filter hook ingress device eth0 priority -500;
				ether saddr != { $(mac 100), $(mac 1) } counter comment "somebody else's frame"
				ip saddr 192.168.0.0/16 counter comment "private source"
				ip saddr 0.0.0.0 counter comment "no source"
				ip daddr 192.168.0.0/16 counter comment "private destination"
				ip6 saddr { fd00:50::/32, fd00:60::/32, fd00:70::/32 } counter comment "private IPv6 source"
				ip6 daddr { fd00:50::/32, fd00:60::/32, fd00:70::/32 } counter comment "private IPv6 destination"
				arp saddr ip 192.168.0.0/16 counter comment "ARP of a private address"
				arp daddr ip 192.168.0.0/16 counter comment "ARP for a private address"
			}
		}
	END
}

# Passes when nothing private was seen on the wire, since the last time.
nothing_leaked() {
	local seen
	seen=$(ns wire nft list table netdev watch | grep counter | grep -v "packets 0 bytes 0")
	must ns wire nft delete table netdev watch
	nat_watch
	[ -z "$seen" ] || { echo "$seen" && return 1; }
}

# nat_network NAME NUMBER: a nat network 192.168.NUMBER.0/24 with the uplink nic0.
nat_network() {
	if [ "$NAT" = nft ]; then
		nft_network "$1" "$2"
		must ns host nft -f - <<-END
			add rule inet nat forward iifname "$1" ip saddr 192.168.$2.0/24 oifname "nic0" accept
			add rule inet nat forward iifname "$1" ip6 saddr fd00:$2::/64 oifname "nic0" accept
			add rule inet nat post iifname "$1" oifname "nic0" masquerade
		END
		return
	fi
	must x network add "$1" mode nat uplink nic0 subnet "192.168.$2.0/24" subnet6 "fd00:$2::/64"
}

hostonly_network() {
	if [ "$NAT" = nft ]; then
		nft_network "$1" "$2"
		return
	fi
	must x network add "$1" mode hostonly subnet "192.168.$2.0/24" subnet6 "fd00:$2::/64"
}

# nat_port NETWORK DEV
nat_port() {
	if [ "$NAT" = nft ]; then
		must ip -n "$P-host" link set dev "$2" master "$1"
		return
	fi
	must x port add "$1" dev "$2" hook "$hook"
	gro "$2"
}

# A bridge as gateway, and the tables when they are not there yet.
nft_network() {
	must ip -n "$P-host" link add name "$1" type bridge
	must ip -n "$P-host" link set dev "$1" up
	must ip -n "$P-host" address add "192.168.$2.1/24" dev "$1"
	must ip -n "$P-host" address add "fd00:$2::1/64" dev "$1" nodad
	ns host nft list table inet nat >/dev/null 2>&1 && return
	must ns host sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	ns host sysctl -qw net.bridge.bridge-nf-call-ip{,6}tables=0 2>/dev/null
	must ns host nft -f - <<-END
		table inet nat {
			chain pre { type nat hook prerouting priority dstnat; }
			chain out { type nat hook output priority -100; }
			chain post {
				type nat hook postrouting priority srcnat;
				oifname { "priv", "other" } iifname { "priv", "other" } ct status dnat snat ip to 10.0.0.100
				oifname { "priv", "other" } iifname { "priv", "other" } ct status dnat snat ip6 to fd00::100
			}
			chain forward {
				type filter hook forward priority 0; policy drop;
				ct state invalid drop
				ct state established,related accept
				ct status dnat accept
			}
		}
	END
}

# nat_lab HOOK [MTU]: all of it, and the sockets. hook is set for what follows.
nat_lab() {
	hook=$1
	LABEL="$hook: "
	netns host
	nat_wire
	vm a1 11 50
	vm a2 12 50
	vm b1 13 60
	vm h1 14 70
	[ -z "${2-}" ] || nat_mtu "$2"
	nat_network priv 50
	nat_network other 60
	hostonly_network only 70
	for dev in a1 a2; do nat_port priv $dev; done
	nat_port other b1
	nat_port only h1
	if [ "$NAT" != nft ]; then
		if [ -z "$ALONE" ]; then
			veth v1 1
			must x network add lan mode bridge uplink nic0
			must x port add lan dev v1 hook "$hook"
			gro v1
		fi
		must x port set dev nic0 hook "$hook"
		must x status
	fi
	gro wire
	sockets
}

# nat_mtu MTU: of all links but the one to far.
nat_mtu() {
	local name
	for name in a1 a2 b1 h1 wire; do
		must ip -n "$P-host" link set dev "${name/wire/nic0}" mtu "$1"
		must ip -n "$P-$name" link set dev eth0 mtu "$1"
	done
}

nat_down() {
	check "nothing private was on the wire" nothing_leaked
	check "no wrong checksum anywhere" checksums_right
	sockets_close
	down
}

# mute FROM ADDRESS: nothing answers; quicker than silent.
mute() {
	! ns "$1" ping -q -c 2 -i 0.1 -W 0.3 "$2"
}

# ---- sockets ----

# sockets: starts sock.py, which keeps sockets in all namespaces. s COMMAND...: what it says to one
# of its commands. opened COMMAND...: the same, which has to work. See there.

sockets() {
	local line
	[ -z "${lib_sockets-}" ] || sockets_close
	rm -f "$T/sockets."*
	must mkfifo "$T/sockets.in" "$T/sockets.out"
	/usr/bin/python3 "$HERE/sock.py" "$P" <"$T/sockets.in" >"$T/sockets.out" 2>"$T/sockets" &
	lib_sockets=$!
	exec {lib_s_in}>"$T/sockets.in" {lib_s_out}<"$T/sockets.out"
	read -r line <&"$lib_s_out" && [ "$line" = ready ] && return
	not_ok "set-up" "sockets: $(cat "$T/sockets")"
	exit 1
}

sockets_close() {
	[ -n "${lib_sockets-}" ] || return 0
	exec {lib_s_in}>&- {lib_s_out}<&-
	end "$lib_sockets"
	lib_sockets=''
}

s() {
	local IFS='|' line
	echo "$*" >&"$lib_s_in"
	if read -r line <&"$lib_s_out"; then echo "$line"; else cat "$T/sockets"; fi
}

opened() {
	local seen
	seen=$(s "$@")
	[ "$seen" = ok ] && return
	not_ok "set-up" "$* => $seen"
	exit 1
}

# asks NAME WANTED FROM ADDRESS PORT TO: TO sees WANTED ("ADDRESS PORT") as FROM's address when FROM
# sends to ADDRESS PORT; or WANTED is nothing.
asks() {
	equal "$1" "$(s ask "$3" "$4" "$5" "$6")" "$2"
}

# reaches NAME FROM ADDRESS PORT TO: TO sees it, whatever its address is.
reaches() {
	local seen
	seen=$(s ask "$2" "$3" "$4" "$5")
	if [[ $seen =~ ^[0-9a-f.:]+\ [0-9]+$ ]]; then ok "$1"; else not_ok "$1" "$seen"; fi
}

# asks_from NAME ADDRESS FROM TOADDRESS PORT TO: the same where any port will do.
asks_from() {
	local seen
	seen=$(s ask "$3" "$4" "$5" "$6")
	equal "$1" "${seen% *}" "$2"
}

# ---- crafted packets ----

# craft_lab: parties a1 a2 b1 wire for `routed`, and endpoints that no kernel answers for: m90
# 192.168.50.90 and fd00:50::90 at a1, m210 10.0.0.210 and fd00::210 on the wire. GW is the gateway's address.
craft_lab() {
	GW=$(ip -n "$P-host" -j link show dev priv | jq -r '.[0].address')
	must ip -n "$P-host" neigh replace 10.0.0.210 lladdr "$(mac 210)" dev nic0 nud permanent
	must ip -n "$P-host" neigh replace fd00::210 lladdr "$(mac 210)" dev nic0 nud permanent
	must ip -n "$P-host" neigh replace 192.168.50.90 lladdr "$(mac 90)" dev priv nud permanent
	must ip -n "$P-host" neigh replace fd00:50::90 lladdr "$(mac 90)" dev priv nud permanent
	frames a1 a2 b1 wire
	repeat a1 1 "bc m90 88b5"
	sleep 0.1
}

# crafted NAME {out|in} TRANSPORT [KEYS]: m90's packet to m210, or back, byte for byte. $in is m90's
# address, $out what it has outside, $to m210's.
crafted() {
	if [ "$2" = out ]; then
		routed "$1" a1 "$GW m90 ip/$in/$to${4-} $3" "wire=m210 m100 ip/$out/$to${4-}/ttl=63 $3"
	else
		routed "$1" wire "m100 m210 ip/$to/$out${4-} $3" "a1=m90 $GW ip/$to/$in${4-}/ttl=63 $3"
	fi
}

# udp_refused FROM ADDRESS PORT: a connected UDP socket hears at once that nobody listens.
udp_refused() {
	ns "$1" /usr/bin/python3 - "$2" "$3" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
		s.settimeout(2)
		s.connect((sys.argv[1], int(sys.argv[2])))
		try:
		    s.send(b"?")
		    s.recv(1)
		except ConnectionRefusedError:
		    sys.exit(0)
		sys.exit("no error came")
	END
}

# ---- forwards ----

# forward PROTO ADDRESS PORTS TO PORT: of priv; ADDRESS - is any. forward_del PROTO ADDRESS PORT.
forward() {
	local address=$2 to=$4 match
	if [ "$NAT" = nft ]; then
		match="$([[ $to = *:* ]] && echo ip6 || echo ip) daddr"
		[ "$address" != - ] || address=$([[ $to = *:* ]] && echo fd00::100 || echo "{ 10.0.0.100, 10.0.0.101 }")
		[[ $to = *:* ]] && to="[$to]"
		[[ $3 = *-* ]] || to+=":$5"
		must ns host nft "add rule inet nat pre $match $address $1 dport $3 dnat ${match% *} to $to"
		must ns host nft "add rule inet nat out $match $address $1 dport $3 dnat ${match% *} to $to"
		return
	fi
	if [[ $to = *:* ]]; then to="[$to]:$5"; else to="$to:$5"; fi
	must x nat forward add priv "$1" "$(external "$address" "$3")" to "$to"
}

forward_del() {
	must x nat forward del priv "$1" "$(external "$2" "$3")"
}

external() {
	case $1 in
	-) echo "$2" ;;
	*:*) echo "[$1]:$2" ;;
	*) echo "$1:$2" ;;
	esac
}

# masquerade [ADDRESS[-ADDRESS]] [ports N-M]: of priv; without arguments, the default again.
masquerade() {
	local ports
	if [ "$NAT" = nft ]; then
		if [ "${2-}" = ports ]; then ports="to :$3"; fi
		must ns host nft "flush chain inet nat post; add rule inet nat post oifname nic0 \
			meta l4proto { tcp, udp } masquerade ${ports-}; add rule inet nat post oifname nic0 masquerade"
	elif [ $# = 0 ]; then
		must x nat masquerade priv to uplink
	else
		must x nat masquerade priv to "$@"
	fi
}

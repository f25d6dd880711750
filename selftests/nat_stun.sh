#!/bin/bash
# nat_stun.sh - what STUN finds out about a nat network (RFC 5780): coturn's server with two
# addresses on the wire, its turnutils_natdiscovery in VMs; and holes that VMs punch. The lab is in nat_lab.sh.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# What mappings are does not depend on the hook. HOOKS="tc xdp" tries both.
HOOKS=${HOOKS:-tc}
# shellcheck source-path=SCRIPTDIR source=nat_lab.sh
. "$(dirname "$0")/nat_lab.sh"
ALONE=1

# stun_server FIRST SECOND: two addresses of the wire, with two ports each. Asked to end, it takes its
# time.
stun_server() {
	local try
	spawn wire timeout -k 0.5 300 turnserver --stun-only -n -L "$1" -L "$2" -E "$1" --no-cli \
		--no-tls --no-dtls --no-tcp --log-file stdout --simple-log --pidfile "$T/turn.pid" --userdb "$T/turn.db" >"$T/turn.log" 2>&1
	for try in {1..50}; do
		[ "$(ns wire ss -Hlun 'sport = :3479' | grep -cF -e "$1" -e "$2")" -lt 2 ] || return 0
		sleep 0.1
	done
	not_ok "set-up" "no STUN server, asked $try times"$'\n'"$(tail -5 "$T/turn.log")"
	exit 1
}

# stun NAME VM ADDRESS PORT SERVER WANTED OPTION: what natdiscovery says.
stun() {
	local seen
	seen=$(ns "$2" timeout 20 turnutils_natdiscovery "$7" -L "$3" -l "$4" "$5" 2>&1)
	if grep -qF -- "$6" <<<"$seen"; then ok "$1: $6"; else not_ok "$1: $6" "$(tail -n 12 <<<"$seen")"; fi
}

mapping="NAT with Endpoint Independent Mapping!"
dependent="NAT with Address and Port Dependent Filtering!"

# Two VMs at one port, which a mapping cannot keep for both.
discovery() {
	stun "$1" a1 "$2" 5000 "$4" "$mapping" -m
	stun "$1" a1 "$2" 5002 "$4" "$dependent" -f
	if [ "$NAT" = nft ]; then
		skip "$1: a second VM at the same port" "nftables looks for a free port for each destination"
		return
	fi
	stun "$1, a second VM at the same port" a2 "$3" 5000 "$4" "$mapping" -m
	stun "$1, a second VM at the same port" a2 "$3" 5002 "$4" "$dependent" -f
	must x network set priv filtering endpoint-independent
	stun "$1" a1 "$2" 5004 "$4" "$mapping" -m
	stun "$1" a1 "$2" 5006 "$4" "NAT with Endpoint Independent Filtering!" -f
	stun "$1" a2 "$3" 5006 "$4" "NAT with Endpoint Independent Filtering!" -f
	stun "$1" a1 "$2" 5008 "$4" "maybe a successful hairpinning" -H
	must x network set priv filtering endpoint-dependent
}

# ends: A and B learn their external endpoints from W, and punch holes.
holes() {
	local wire=$4 a b
	opened udp W wire "$wire" 53
	opened udp A a1 "$2" 6000
	opened udp B "$5" "$3" 6000
	a=$(s ask A "$wire" 53 W)
	b=$(s ask B "$wire" 53 W)
	# shellcheck disable=SC2086 # ADDRESS PORT
	{
		asks "$1: the first packet finds no hole" nothing A $b B
		asks "$1: the second one does, and has the external address" "$b" B $a A
		asks "$1: so does the third" "$a" A $b B
		equal "$1: there" "$(s back B A)" "$b"
		equal "$1: and back" "$(s back A B)" "$a"
	}
	s close W A B >/dev/null
}

for hook in $HOOKS; do
	nat_lab "$hook"
	stun_server 10.0.0.200 10.0.0.201
	discovery IPv4 192.168.50.11 192.168.50.12 10.0.0.200
	stun_server fd00::200 fd00::201
	discovery IPv6 fd00:50::11 fd00:50::12 fd00::200
	if [ "$NAT" != nft ]; then
		holes "holes" 192.168.50.11 192.168.50.12 10.0.0.200 a2
		holes "holes, IPv6" fd00:50::11 fd00:50::12 fd00::200 a2
		holes "holes to another network" 192.168.50.11 192.168.60.13 10.0.0.200 b1
	fi
	nat_down
done
finish

#!/bin/bash
# nat_cli.sh - networks of modes nat and hostonly and xdpctl nat, as commands: words and their
# output, what is refused, the devices that are made and what they leave, uplinks that several
# networks share, addresses that come and go, commands that are killed or run side by side.
# Runs with the binary under test and with its sanitized build.
#
#     host: nic0 (10.0.0.100, 10.0.0.101, fd00::100) ──veth── wire (10.0.0.200, fd00::200)
#           nic1, a bridge device without ports; v1 ──veth── namespace v1 (192.168.50.10 in `priv`)
# shellcheck disable=SC2317 # functions are called by check

# shellcheck source=selftests/lib.sh
. "$(dirname "$0")/lib.sh"

export ASAN_OPTIONS="detect_leaks=1:log_path=$T/sanitizer:exitcode=99"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$T/sanitizer"
SECONDS_KILLED=${CRASH_BUDGET:-60} # that commands are killed, all together
NAT='mode nat uplink nic0 subnet 192.168.50.0/24'
BOTH="$NAT subnet6 fd00:50::/64"

# The devices as somebody else sees them, with their addresses, routes and settings.
devices() {
	ip -n "$P-host" -d link | sed -E 's/ (state|mode) [A-Z]+//g; s/^[0-9]+: //; s/gc_timer +[0-9.]+//'
	ip -n "$P-host" -br address
	ip -n "$P-host" route show table all | sort
	ip -n "$P-host" -6 route show table all | sed 's/ expires [^ ]*//' | sort
	ns host sysctl -a -r 'net\.ipv[46]\.conf\.' 2>/dev/null
}

# sysctl KEY: of the host.
setting() {
	ns host sysctl -n "net.$1"
}

# The map NAME, as bpftool has it.
map() {
	bpftool -j map dump pinned "$(pins host)/$1" 2>/dev/null
}

# External addresses that have a slot, in the slots' order: flags ifindex.
slots() {
	map nat_addrs | jq -c '[.[].formatted.value | select(.ifindex != 0) | .flags]'
}

# How many pools there are; how many ports are bound (status).
pools() {
	map nat_pools | jq 'map(select(.value)) | length'
}

used() {
	x -j status | jq ".maps[] | select(.name == \"$1\").used"
}

# The bits of a port's policy that NAT makes: network, uplink, gateway, nat, track.
policy() {
	local id
	id=$(map port_info | jq --arg d "$1" '.[].formatted | select(.value.dev == $d).key')
	bpftool map lookup pinned "$(pins host)/ports" key $((id & 255)) $((id >> 8)) 0 0 |
		sed -E 's/0x([0-9a-f]+)/"\1"/' |
		jq -c '.value.policy[""] | [.network, .uplink, .gateway, .nat, .track] | join(" ")' | tr -d '"'
}

promisc() {
	ip -n "$P-host" link show "$1" | grep -c PROMISC
}

# ---- networks ----

network_words() {
	refused "mode is missing" 2 'mode is missing' network add n subnet 10.1.0.0/24
	refused "mode" 2 '"routed"' network add n mode routed
	refused "nat needs an uplink" 2 'uplink is missing' network add n mode nat subnet 10.1.0.0/24
	refused "nat needs a subnet" 2 'subnet is missing' network add n mode nat uplink nic0
	refused "uplink none is none" 2 'uplink is missing' network add n mode nat uplink none subnet 10.1.0.0/24
	refused "hostonly needs a subnet" 2 'subnet is missing' network add n mode hostonly
	refused "hostonly has no uplink" 2 'uplink "nic0"' network add n mode hostonly uplink nic0 subnet 10.1.0.0/24
	refused "bridge has no subnet" 2 'subnet "10.1.0.0/24"' network add n mode bridge subnet 10.1.0.0/24
	refused "internal has no gateway" 2 'gateway "10.1.0.1"' network add n mode internal gateway 10.1.0.1
	refused "hostonly has no filtering" 2 'filtering' network add n mode hostonly subnet 10.1.0.0/24 filtering endpoint-independent
	refused "filtering" 2 '"open"' network add n "${nat[@]}" filtering open
	refused "gateway6 needs subnet6" 2 'subnet6' network add n "${nat[@]}" gateway6 fd00:50::1
	local bad
	for bad in 10.1.0.0/31 10.1.0.0/32 10.0.0.0/7 0.0.0.0/0 10.1.0.0 10.1.0.1/24 127.1.0.0/16 224.1.0.0/16 \
		169.254.0.0/16 10.1.0.0/33 fd00:1::/64 x 10.1.0.0/24/24; do
		refused "subnet $bad" 2 "\"$bad\"" network add n mode hostonly subnet "$bad"
	done
	for bad in fd00:1::/127 fd00:1::/128 ::/0 fe80::/64 ff00::/16 fd00:1::1/64 10.1.0.0/24; do
		refused "subnet6 $bad" 2 "\"$bad\"" network add n mode hostonly subnet 10.1.0.0/24 subnet6 "$bad"
	done
	for bad in 10.1.1.1 10.1.0.0 10.1.0.255 10.1.0.1/24 fd00::1 10.1.0 0.0.0.0; do
		refused "gateway $bad" 2 "$bad" network add n mode hostonly subnet 10.1.0.0/24 gateway "$bad"
	done
	for bad in fd00:1:: fd00:2::1 10.1.0.1; do
		refused "gateway6 $bad" 2 "$bad" network add n mode hostonly subnet 10.1.0.0/24 subnet6 fd00:1::/64 gateway6 "$bad"
	done
	for bad in sixteencharacter all default xdpctl1; do
		refused "name $bad" 2 "\"$bad\"" network add "$bad" mode hostonly subnet 10.1.0.0/24
	done
	refused "set takes no subnet" 2 'unknown key "subnet"' network set n subnet 10.1.0.0/24
	check_not "nothing was made" test -e "$(pins host)"
	refused "no such uplink" 1 'nic9' network add n mode nat uplink nic9 subnet 10.1.0.0/24
	refused "the name is a device's" 1 'nic1: there is a device' network add nic1 mode hostonly subnet 10.1.0.0/24
	refused "subnet of the host" 1 '10.0.0.100' network add n mode hostonly subnet 10.0.0.0/22
	refused "... a part of it" 1 '10.0.0.100' network add n mode hostonly subnet 10.0.0.96/28
	refused "... an IPv6 one" 1 'fd00::100' network add n mode hostonly subnet 10.1.0.0/24 subnet6 fd00::/60
	check_not "and nothing stays" test -e "$(pins host)"
	equal "no device stays" "$(ip -n "$P-host" -br link | grep -c xdpctl)" 0
}

network_nat() {
	must x network add priv "${both[@]}" gateway6 fd00:50::fe ageing 60s
	json "network show" '. == [{"name":"priv","mode":"nat","uplink":"nic0","subnet":"192.168.50.0/24",
		"gateway":"192.168.50.1","subnet6":"fd00:50::/64","gateway6":"fd00:50::fe",
		"ageing":60,"fdb_max":null,"ports":["nic0"]}]' network show
	json "port show has the uplink alone" 'map([.dev, .network, .uplink]) == [["nic0", "priv", true]]' port
	json "... of the network too" 'map(.dev) == ["nic0"]' port show network priv
	json "stats has the host's device" 'map([.dev, .network]) == [["nic0", "priv"], ["priv", "priv"]]' stats
	equal "gateway's addresses" "$(ip -n "$P-host" -br address show dev priv | awk '{ print $3, $4 }')" \
		'192.168.50.1/24 fd00:50::fe/64'
	equal "policy of the uplink" "$(policy nic0)" '0 1 0 1 0'
	equal "policy of the host's device" "$(policy priv)" '1 1 1 0 1'
	equal "one slot a family" "$(slots)" '[1,1]'
	equal "with all pools" "$(pools)" 8
	local key
	for key in ipv4.conf.priv.forwarding=1 ipv4.conf.priv.accept_local=1 ipv4.conf.priv.rp_filter=0 \
		ipv6.conf.priv.forwarding=1 ipv6.conf.priv.accept_ra=0 ipv6.conf.priv.disable_ipv6=0 \
		ipv6.conf.xdpctl1.disable_ipv6=1; do
		equal "net.$key" "${key%=*}=$(setting "${key%=*}")" "$key"
	done
	check "the other end speaks to nobody" grep -q NOARP <(ip -n "$P-host" link show xdpctl1)
	refused "the host's device is no port" 1 'priv: the host' port set dev priv fdb-max 3
	refused "... nor can be removed" 1 'priv: the host' port del dev priv
	refused "... nor has lists" 1 'priv: the host' acl add dev priv in allow
	refused "... nor is an uplink" 1 'priv: the host' network add n mode nat uplink priv subnet 10.1.0.0/24
	refused "... nor a VM's port" 1 'priv: already a port' port add priv dev priv
	refused "... nor is its other end" 1 'xdpctl1' port add priv dev xdpctl1
	refused "the uplink stays" 1 'network del priv' port del dev nic0
	refused "... and has no VLANs" 1 'nic0: vlan, trunk' port set dev nic0 vlan 5
	refused "... no policy" 1 'nic0: policy-in' port set dev nic0 policy-out deny
	refused "... and no lists" 1 'nic0: the uplink' acl add dev nic0 in deny
	must x port add priv dev v1
	check "the host's device answers" pings v1 192.168.50.1
	refused "a VM's port is no uplink" 1 'v1: already a port' network add n mode nat uplink v1 subnet 10.1.0.0/24
	refused "overlap" 1 '192.168.50.0/24 of network priv' network add n mode hostonly subnet 192.168.50.128/25
	refused "overlap, IPv6" 1 'fd00:50::/64 of network priv' network add n mode hostonly subnet 10.1.0.0/24 subnet6 fd00:50::/60
	refused "the name is taken" 1 'priv: exists' network add priv mode hostonly subnet 10.1.0.0/24
	refused "uplink cannot be changed" 1 'uplink nic1' network set priv uplink nic1
	check "filtering" x network set priv filtering endpoint-independent
	json "... is shown" '.[0].filtering == "endpoint-independent"' network show priv
	equal "... and told to the data path" "$(map nat_networks | jq '.[1].formatted.value.flags')" 3
	check "... and back" x network set priv filtering none fdb-max 100
	json "... is shown" '.[0] | (has("filtering") | not) and .fdb_max == 100' network show priv
	refused "a network with ports stays" 1 'v1' network del priv
	must x port del dev v1
	check "network del" x network del priv
}

network_hostonly() {
	must x network add ho mode hostonly subnet 10.1.0.0/30 gateway 10.1.0.2
	json "network show" '.[0] | [.mode, .uplink, .subnet, .gateway, .subnet6, .gateway6, .filtering] ==
		["hostonly", null, "10.1.0.0/30", "10.1.0.2", null, null, null]' network show ho
	json "no port is shown" '. == []' port
	equal "the data path may ask for routes, IPv6 is off" "$(setting ipv4.conf.ho.forwarding) $(setting ipv6.conf.ho.disable_ipv6)" "1 1"
	equal "no external address" "$(slots)" '[]'
	equal "policy" "$(policy ho)" '1 1 1 0 0'
	refused "no filtering" 1 'filtering' network set ho filtering endpoint-independent
	refused "not of mode nat" 1 'ho: is not of mode nat' nat forward add ho tcp 80 to 10.1.0.1
	json "nat show has no row" '. == []' nat
	check "network del" x network del ho
}

# What was there before is there after it.
restores() {
	local before
	before=$(devices)
	must x network add priv "${both[@]}"
	must x network add ho mode hostonly subnet 10.1.0.0/24
	must x nat forward add priv tcp 80-90 to 192.168.50.10
	must x network del ho
	must x network del priv
	equal "network del leaves the host as it was" "$(diff <(echo "$before") <(devices))" ''
	equal "... and no slot, pool or rule" "$(slots) $(pools) $(map nat_rules) $(map nat_info)" '[] 0 [] []'
	must x network add priv "${both[@]}"
	must x network add ho mode hostonly subnet 10.1.0.0/24
	must x network add lan mode bridge uplink nic1
	must ns host sysctl -qw net.ipv4.conf.nic1.forwarding=1
	check "detach" x detach
	must ns host sysctl -qw net.ipv4.conf.nic1.forwarding=0
	equal "... leaves the host as it was" "$(diff <(echo "$before") <(devices))" ''
}

# ---- nat ----

nat_words() {
	local bad
	refused "nat knows no such command" 2 '"table"' nat table
	refused "a command of two words" 2 '"forward"' nat forward
	check "help of a command of two words" grep -q 'nat forward add NETWORK' <(x nat forward add help)
	check "... of its first word" grep -q 'nat forward del NETWORK' <(x nat forward help)
	check "... by -h" grep -q 'nat static add NETWORK' <(x -h nat static)
	for bad in 0 65536 80-79 80- -80 a 80:90 10.0.0.100: 10.0.0.100:0 :80 10.0.0:80 '[10.0.0.100]:80' \
		'[fd00::100]80' fd00::100:80x 224.0.0.1:80 '[fd00::100]:' 10.0.0.100:80-; do
		refused "forward $bad" 2 "\"$bad\"" nat forward add priv tcp "$bad" to 192.168.50.10
	done
	for bad in 80 192.168.50.10: 192.168.50.10:0 192.168.50.10:80-81 '[fd00:50::10]' fd00:50::10: 192.168.50 x; do
		refused "to $bad" 2 "\"$bad\"" nat forward add priv tcp 80 to "$bad"
	done
	refused "proto" 2 '"icmp"' nat forward add priv icmp 80 to 192.168.50.10
	refused "to is missing" 2 '"to" is missing' nat forward add priv tcp 80
	refused "no other word" 2 '"via"' nat forward add priv tcp 80 via 192.168.50.10
	refused "no more words" 2 '"80"' nat forward add priv tcp 80 to 192.168.50.10 80
	refused "families" 2 'families' nat forward add priv tcp 10.0.0.100:80 to fd00:50::10
	refused "a range past the last port" 2 '65530' nat forward add priv tcp 80-90 to 192.168.50.10:65530
	refused "del takes no range" 2 '"80-90"' nat forward del priv tcp 80-90
	refused "static families" 2 'fd00:50::10' nat static add priv 10.0.0.101 fd00:50::10
	refused "static takes no prefix" 2 '"10.0.0.101/32"' nat static add priv 10.0.0.101/32 192.168.50.10
	for bad in 10.0.0.100- 10.0.0.101-10.0.0.100 10.0.0.1-fd00::1 10.0.0.1-10.0.0.33 x 10.0.0.0/24; do
		refused "masquerade to $bad" 2 "\"$bad\"" nat masquerade priv to "$bad"
	done
	for bad in 0 0-10 20-10 1-65536 x; do
		refused "ports $bad" 2 "\"$bad\"" nat masquerade priv to 10.0.0.100 ports "$bad"
	done
	refused "the uplink's own address has all ports" 2 '"ports"' nat masquerade priv to uplink ports 1-2
	refused "no such network" 1 'nope' nat forward add nope tcp 80 to 192.168.50.10
	refused "target outside" 1 '192.168.51.10' nat forward add priv tcp 80 to 192.168.51.10
	refused "... the gateway" 1 '192.168.50.1 ' nat forward add priv tcp 80 to 192.168.50.1
	refused "... no host's" 1 '192.168.50.255' nat forward add priv tcp 80 to 192.168.50.255
	refused "... in no subnet6" 1 'fd00:51::1' nat forward add priv tcp 80 to fd00:51::1
	refused "address of nobody" 1 '10.0.0.150' nat forward add priv tcp 10.0.0.150:80 to 192.168.50.10
	refused "... static" 1 '10.0.0.150' nat static add priv 10.0.0.150 192.168.50.10
	refused "... of a range" 1 '10.0.0.102' nat masquerade priv to 10.0.0.100-10.0.0.102
	refused "the host's own address" 1 '10.0.0.100' nat static add priv 10.0.0.100 192.168.50.10
	refused "no such forward" 1 'tcp 80' nat forward del priv tcp 80
	refused "no such static address" 1 '10.0.0.101' nat static del priv 10.0.0.101
	json "nothing was added" 'map(.kind) == ["masquerade", "masquerade"]' nat show
}

nat_rules() {
	must x nat forward add priv tcp 8080 to 192.168.50.10:80
	must x nat forward add priv udp 10.0.0.101:5000-5009 to 192.168.50.11:6000
	must x nat forward add priv tcp '[fd00::100]:443' to '[fd00:50::10]:8443'
	must x nat forward add priv sctp 7 to 192.168.50.10
	json "nat show" '. == [
		{"network":"priv","kind":"masquerade","proto":null,"external":"10.0.0.100","external_port":null,
		 "internal":"192.168.50.0/24","internal_port":null,"ports":null},
		{"network":"priv","kind":"masquerade","proto":null,"external":"fd00::100","external_port":null,
		 "internal":"fd00:50::/64","internal_port":null,"ports":null},
		{"network":"priv","kind":"forward","proto":"tcp","external":null,"external_port":8080,
		 "internal":"192.168.50.10","internal_port":80,"ports":1},
		{"network":"priv","kind":"forward","proto":"udp","external":"10.0.0.101","external_port":5000,
		 "internal":"192.168.50.11","internal_port":6000,"ports":10},
		{"network":"priv","kind":"forward","proto":"tcp","external":"fd00::100","external_port":443,
		 "internal":"fd00:50::10","internal_port":8443,"ports":1},
		{"network":"priv","kind":"forward","proto":"sctp","external":null,"external_port":7,
		 "internal":"192.168.50.10","internal_port":7,"ports":1}]' nat show
	equal "ports are bound" "$(used nat_ports_tcp) $(used nat_ports_udp) $(used nat_ports_sctp)" "3 10 2"
	equal "an address more" "$(slots)" '[1,1,0]'
	refused "the same forward" 1 'tcp 8080: collides' nat forward add priv tcp 8080 to 192.168.50.12
	refused "... at one address" 1 'tcp 10.0.0.101:8080' nat forward add priv tcp 10.0.0.101:8080 to 192.168.50.12
	refused "a range over it" 1 'tcp 8000-8100' nat forward add priv tcp 8000-8100 to 192.168.50.12
	refused "for all addresses over one's" 1 'udp 10.0.0.101:5000-5009' nat forward add priv udp 5009 to 192.168.50.12
	check "the other protocol" x nat forward add priv udp 8080 to 192.168.50.10:80
	check "the other family" x nat forward add priv tcp 8080 to fd00:50::10
	check "the other address" x nat forward add priv udp 10.0.0.100:5000 to 192.168.50.12
	refused "static address with a forward" 1 'static 10.0.0.101: collides' nat static add priv 10.0.0.101 192.168.50.13
	check "forward del" x nat forward del priv udp 10.0.0.101:5000
	check "static add" x nat static add priv 10.0.0.101 192.168.50.13
	json "... is shown" '.[-1] == {"network":"priv","kind":"static","proto":null,"external":"10.0.0.101",
		"external_port":null,"internal":"192.168.50.13","internal_port":null,"ports":null}' nat show
	equal "... and has no ports of its own" "$(slots) $(used nat_ports_tcp)" '[1,1,2] 3'
	refused "forward at a static address" 1 'static 10.0.0.101' nat forward add priv tcp 10.0.0.101:9 to 192.168.50.12
	refused "masquerade with it" 1 '10.0.0.101: is a static one' nat masquerade priv to 10.0.0.100-10.0.0.101
	refused "another static address inside" 1 'collides' nat static add priv 10.0.0.101 192.168.50.14
	check "forward del takes both families" x nat forward del priv tcp 8080
	json "... both are gone" 'map(select(.external_port == 8080 and .proto == "tcp")) == []' nat show
	check "static del" x nat static del priv 10.0.0.101
	must x nat forward del priv sctp 7
	must x nat forward del priv udp 8080
	must x nat forward del priv udp 10.0.0.100:5000
	must x nat forward del priv tcp '[fd00::100]:443'
	equal "nothing stays bound" "$(slots) $(pools) $(used nat_rules) $(used nat_ports_tcp)" '[1,1] 8 0 0'
}

# Sockets of the host that a forward would be in the way of.
nat_listeners() {
	local pids=()
	spawn host socat TCP4-LISTEN:8080,bind=0.0.0.0 -
	spawn host socat TCP4-LISTEN:8081,bind=127.0.0.1 -
	spawn host socat TCP6-LISTEN:8082,ipv6only=0 -
	spawn host socat TCP6-LISTEN:8083,ipv6only=1 -
	spawn host socat -u UDP4-RECV:8084,bind=10.0.0.101 STDOUT
	spawn host socat TCP4-LISTEN:8085,so-bindtodevice=nic1 -
	spawn host socat TCP6-LISTEN:8086,bind="[fd00::100]" -
	pids=("${lib_pids[@]: -7}")
	local port
	for port in 8080 8081 8082 8083 8085 8086; do must listening host "$port"; done
	sleep 0.1
	refused "wildcard" 1 'port 8080' nat forward add priv tcp 8080 to 192.168.50.10
	refused "... in a range" 1 'port 8080' nat forward add priv tcp 8000-8080 to 192.168.50.10
	refused "... at an address" 1 '10.0.0.101:8080' nat forward add priv tcp 10.0.0.101:8080 to 192.168.50.10
	check "loopback only" x nat forward add priv tcp 8081 to 192.168.50.10
	refused "IPv6 wildcard takes IPv4" 1 'port 8082' nat forward add priv tcp 8082 to 192.168.50.10
	refused "... and IPv6" 1 'port 8082' nat forward add priv tcp 8082 to fd00:50::10
	check "IPv6 alone leaves IPv4" x nat forward add priv tcp 8083 to 192.168.50.10
	refused "... but IPv6" 1 'port 8083' nat forward add priv tcp 8083 to fd00:50::10
	refused "one of the uplink's addresses" 1 '10.0.0.101 port 8084' nat forward add priv udp 8084 to 192.168.50.10
	check "... leaves the other" x nat forward add priv udp 10.0.0.100:8084 to 192.168.50.10
	check "another device's" x nat forward add priv tcp 8085 to 192.168.50.10
	refused "an IPv6 address" 1 'fd00::100 port 8086' nat forward add priv tcp 8086 to fd00:50::10
	check "... leaves IPv4" x nat forward add priv tcp 8086 to 192.168.50.10
	check "the other protocol" x nat forward add priv udp 8080 to 192.168.50.10
	refused "a static address that is listened at" 1 'port 8084' nat static add priv 10.0.0.101 192.168.50.10
	for port in "${pids[@]}"; do end "$port"; done
	printf 'nat forward del priv %s\n' 'tcp 8081' 'tcp 8083' 'udp 10.0.0.100:8084' 'tcp 8085' 'tcp 8086' 'udp 8080' >"$T/batch"
	check "forwards go" x -b "$T/batch"
}

nat_masquerade() {
	must ip -n "$P-host" address add 10.0.0.102/24 dev nic0
	must ip -n "$P-host" address add fd00::101/64 dev nic0 nodad
	check "a range" x nat masquerade priv to 10.0.0.100-10.0.0.102 ports 2000-2999
	json "... is shown" '.[0] | .external == "10.0.0.100-10.0.0.102" and .ports == "2000-2999" and .external_port == null' nat
	equal "... its slots follow each other" "$(map nat_networks | jq -c '.[1].formatted.value | [.addrs4, .port_min, .port_max]')" \
		'[3,2000,2999]'
	check "of the other family" x nat masquerade priv to fd00::101
	json "... is shown" '.[1].external == "fd00::101" and .[1].ports == null and .[0].ports == "2000-2999"' nat
	check "one port" x nat masquerade priv to 10.0.0.102 ports 7
	json "... is shown" '.[0] | .external == "10.0.0.102" and .ports == "7"' nat
	must ip -n "$P-host" address del fd00::101/64 dev nic0
	check "the uplink's own" x nat masquerade priv to uplink
	json "... is shown" 'map([.external, .ports]) == [["10.0.0.100", null], ["fd00::100", null]]' nat
	equal "... and nothing else stays" "$(slots) $(pools)" '[1,1] 8'
	must ip -n "$P-host" address del 10.0.0.102/24 dev nic0
}

# ---- connections ----

# talk_begin PORT...: a connection from the wire to each port, that stays; talk PORT LINE: what
# comes back; talk_end
talk_begin() {
	local port fd
	talk_fds=()
	for port; do
		mkfifo "$T/to$port" "$T/from$port"
		exec {fd}<>"$T/to$port"
		talk_fds[port]=$fd
		exec {fd}<>"$T/from$port"
		talk_fds[10000 + port]=$fd
		spawn wire socat "OPEN:$T/to$port,rdonly!!OPEN:$T/from$port,wronly" "TCP:10.0.0.100:$port"
	done
}

talk() {
	local line=
	echo "$2" >&"${talk_fds[$1]}"
	read -rt 2 line <&"${talk_fds[10000 + $1]}"
	echo "$line"
}

talk_end() {
	local fd
	for fd in "${talk_fds[@]}"; do exec {fd}>&-; done
	rm "$T"/to* "$T"/from*
}

nat_flows() {
	must x port add priv dev v1
	check "a VM reaches the wire" pings v1 10.0.0.200
	json "flow show has the external endpoint" 'map(select(.proto == "icmp" and .dst == "10.0.0.200")) |
		length == 1 and (.[0] | .nat_addr == "10.0.0.100" and (.nat_port | type) == "number")' flow show
	must x nat forward add priv tcp 8080 to 192.168.50.10:80
	must x nat forward add priv tcp 8081 to 192.168.50.10:81
	spawn v1 socat TCP-LISTEN:80 PIPE
	must listening v1 80
	spawn v1 socat TCP-LISTEN:81 PIPE
	must listening v1 81
	talk_begin 8080 8081
	equal "both forwards work" "$(talk 8080 a)$(talk 8081 b)" ab
	json "... with their ports" '[.[] | select(.proto == "tcp").nat_port] | sort == [8080, 8081]' flow show
	must x nat forward del priv tcp 8080
	json "a removed forward's flows end, and no other" '[.[] | select(.proto == "tcp").nat_port] == [8081]' flow show
	equal "... that one goes on" "$(talk 8081 c)" c
	must x nat masquerade priv to 10.0.0.101
	json "masquerade from elsewhere ends what had the old address" '[.[] | select(.nat_addr == "10.0.0.100")] == []' flow show
	check "a VM reaches the wire" pings v1 10.0.0.200
	json "... from there" 'any(.nat_addr == "10.0.0.101")' flow show
	must x nat masquerade priv to uplink
	must x nat forward del priv tcp 8081
	json "no flow is left" '[.[] | select(.nat_addr)] == []' flow show
	equal "nor a port bound" "$(used nat_ports_tcp) $(used nat_ports_icmp) $(used nat_endpoints)" "0 0 0"
	talk_end
	must x port del dev v1
}

# ---- uplinks ----

shared() {
	must x network add priv "${both[@]}"
	must x network add two mode nat uplink nic0 subnet 192.168.60.0/24
	equal "networks on one uplink share its address" "$(slots) $(pools)" '[1,1] 8'
	json "both show it" 'map([.name, .uplink, .ports]) == [["priv", "nic0", ["nic0"]], ["two", "nic0", ["nic0"]]]' network
	must x nat forward add priv tcp 80 to 192.168.50.10
	refused "forwards of both collide" 1 'network priv' nat forward add two tcp 80 to 192.168.60.10
	must x nat forward add two tcp 81 to 192.168.60.10
	check "the first one goes" x network del priv
	json "... the port is the other's" 'map([.dev, .network]) == [["nic0", "two"]]' port
	equal "... and so are its ports" "$(slots) $(used nat_ports_tcp)" '[1,0] 2'
	must x port set dev nic0 hook tc
	check "a bridge network joins" x network add lan mode bridge uplink nic0
	json "... the port is its" 'map([.dev, .network, .hook]) == [["nic0", "lan", "tc"]]' port
	json "... both show it" 'map([.name, .uplink, .ports]) == [["two", "nic0", ["nic0"]], ["lan", "nic0", ["nic0"]]]' network
	equal "policy" "$(policy nic0 | cut -d' ' -f2-)" '1 0 1 0'
	refused "there is one bridge network" 1 'lan' network add lan2 mode bridge uplink nic0
	must x port set dev nic0 trunk 5-9 native 5
	must x acl add dev nic0 in allow
	check "the bridge network goes" x network del lan
	json "... its settings and lists too" 'map([.dev, .network, .trunk, .native, .hook]) == [["nic0", "two", null, null, "tc"]]' port
	json "... " '. == []' acl
	equal "... NAT stays" "$(policy nic0)" '0 1 0 1 0'
	must x network add lan mode bridge uplink nic0
	check "the NAT network goes" x network del two
	json "... the bridge network stays" 'map([.dev, .network]) == [["nic0", "lan"]]' port
	equal "... without NAT" "$(policy nic0 | cut -d' ' -f2-) $(slots)" '1 0 0 0 []'
	must x network add two mode nat uplink nic0 subnet 192.168.60.0/24
	check "uplink none" x network set lan uplink none
	json "... leaves it to NAT" 'map([.dev, .network]) == [["nic0", "two"]]' port
	check "... and back" x network set lan uplink nic0
	must x network del two
	must x network del lan
	json "no port is left" '. == []' port
	# what is no veth is promiscuous for a bridge network only
	must x network add two mode nat uplink nic1 subnet 192.168.60.0/24
	equal "not promiscuous for NAT" "$(promisc nic1)" 0
	json "without an address" '.[0].external == null' nat show
	must x network add lan mode bridge uplink nic1
	equal "... but for a bridge network" "$(promisc nic1)" 1
	must x network del lan
	equal "... and no longer" "$(promisc nic1)" 0
	must x network del two
}

# ---- what changes meanwhile ----

follows() {
	must x network add priv "${both[@]}"
	must x nat forward add priv tcp 80 to 192.168.50.10
	must x port add priv dev v1
	must ip -n "$P-host" address flush dev nic0
	json "an uplink without addresses" 'map(.external) == [null, null, null]' nat show
	must ip -n "$P-host" address add 10.0.0.110/24 dev nic0
	must ip -n "$P-host" address add 10.0.0.111/24 dev nic0
	json "... gets one" '.[0].external == "10.0.0.110"' nat show
	equal "... and another one for forwards" "$(used nat_addrs) $(used nat_ports_tcp)" '3 2'
	check "a VM reaches the wire" pings v1 10.0.0.200
	must ip -n "$P-host" route add default via 10.0.0.200 dev nic0 src 10.0.0.111
	json "the default route's source is preferred" '.[0].external == "10.0.0.111"' nat show
	equal "... forwards stay at both" "$(used nat_addrs) $(used nat_ports_tcp)" '3 2'
	must ip -n "$P-host" route del default
	must ip -n "$P-host" link set nic0 mtu 1400
	must x network show
	equal "the uplink's MTU" "$(ip -n "$P-host" -o link show priv | grep -o 'mtu [0-9]*')" "mtu 1400"
	must ip -n "$P-host" link set nic0 mtu 1500
	must ip -n "$P-host" address flush dev priv
	must x network show
	equal "addresses that were taken away" "$(ip -n "$P-host" -br address show dev priv | awk '{ print $3, $4 }')" \
		'192.168.50.1/24 fd00:50::1/64'
	must ns host sysctl -qw net.ipv4.ip_forward=1
	must ns host sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
	must x network show
	equal "forwarding that was switched off" "$(setting ipv4.conf.priv.forwarding) $(setting ipv6.conf.priv.forwarding)" "1 1"
	must ip -n "$P-host" link set priv address 02:00:00:00:00:77
	must ip -n "$P-host" link del priv
	must x network show
	check "a device that was removed is made again" ip -n "$P-host" link show priv
	check "... and answers" pings v1 192.168.50.1
	must ip -n "$P-host" link set priv address 02:00:00:00:00:78
	must x network show
	must ns v1 ip neigh flush dev eth0
	check "another address of the device" pings v1 192.168.50.1
	must ip -n "$P-host" link del priv
	must x network show
	check "... that it keeps when it is made again" grep -q 02:00:00:00:00:78 <(ip -n "$P-host" link show priv)
	if ip -n "$P-host" link set nic0 name nicX 2>/dev/null; then
		json "an uplink with another name" '.[0] | .uplink == "nicX" and .ports == ["nicX", "v1"]' network show
		must ip -n "$P-host" link set nicX name nic0
		json "... and back" '.[0].uplink == "nic0"' network show
	else
		skip "an uplink with another name" "this kernel renames no device that is up"
	fi
	must ip -n "$P-host" link del nic0
	json "an uplink that is gone" '.[0].state == "missing"' port show
	json "... is shown" '.[0].uplink == "nic0"' network show
	must ip -n "$P-host" link add nic0 type veth peer name eth0 netns "$P-wire"
	must ip -n "$P-host" link set nic0 up
	must ip -n "$P-wire" link set eth0 up
	must ip -n "$P-wire" address add 10.0.0.200/24 dev eth0
	must ip -n "$P-wire" address add fd00::200/64 dev eth0 nodad
	must ip -n "$P-host" address add 10.0.0.100/24 dev nic0
	must ip -n "$P-host" address add 10.0.0.101/24 dev nic0
	must ip -n "$P-host" address add fd00::100/64 dev nic0 nodad
	json "... comes back" '.[0].state == "up"' port show
	check "a VM reaches the wire" pings v1 10.0.0.200
	must x port del dev v1
	must x network del priv
}

# ---- killed ----

CALLS=bpf,sendto,ioctl,unlink,unlinkat,rename,renameat,openat,mkdir,rmdir

view() {
	x network show 2>&1
	x port show 2>&1
	x nat show 2>&1
	x -j status 2>/dev/null | jq -c '.maps[] | select(.name | test("^nat_"))'
	ip -n "$P-host" -br link | awk '{ print $1 }' | sort
	ip -n "$P-host" -br address | awk '$1 !~ /^xdpctl/ { print $1, $3, $4 }' | sort
	[ ! -e "$(pins host)" ] || { slots; pools; }
}

# killed NAME UNDO COMMAND...: dies at system calls all along; the next command finds all or nothing.
killed() {
	local name=$1 undo=$2 old new at calls=() i n=0 bad='' end
	shift 2
	printf '%b' "$undo" | x --force -b - >/dev/null 2>&1
	old=$(view)
	must x "$@"
	new=$(view)
	printf '%b' "$undo" | x --force -b - >/dev/null 2>&1
	must strace -f -o "$T/log" -e trace="$CALLS" "$XDPCTL" -n "$P-host" "$@"
	mapfile -t calls < <(awk '{ sub(/^[0-9]+ +/, ""); c = $0; sub(/\(.*/, "", c); if (/^[a-z]+\(/) print c, ++n[c] }' "$T/log")
	end=$((SECONDS + SECONDS_KILLED / 6))
	# the first half is loading and looking; from there on, in large steps and then between them
	for n in 0 1 2; do
		for ((i = ${#calls[@]} - 1 - n * 3; i >= 0; i -= 9)); do
			[ $SECONDS -lt $end ] || break 2
			printf '%b' "$undo" | x --force -b - >/dev/null 2>&1
			(strace -f -o /dev/null -e trace="${calls[i]% *}" \
				-e inject="${calls[i]% *}:signal=SIGKILL:when=${calls[i]#* }" \
				"$XDPCTL" -n "$P-host" "$@"; true) >/dev/null 2>&1
			at=$(view)
			[ "$at" = "$old" ] || [ "$at" = "$new" ] ||
				bad+="${calls[i]} of $*: $(diff <(echo "$old") <(echo "$at"))"$'\n'
		done
	done
	equal "$name dies at any moment" "${bad:0:1500}" ''
	printf '%b' "$undo" | x --force -b - >/dev/null 2>&1
}

deaths() {
	killed "network add" 'network del priv\n' network add priv "${both[@]}"
	must x network add priv "${both[@]}"
	must x network add lan mode bridge
	killed "network set uplink" 'network set lan uplink none\n' network set lan uplink nic0
	must x network set lan uplink nic0
	killed "network set uplink none" 'network set lan uplink nic0\n' network set lan uplink none
	must x network del lan
	killed "nat forward add" 'nat forward del priv tcp 80\n' nat forward add priv tcp 80-89 to 192.168.50.10
	must x nat forward add priv tcp 80-89 to 192.168.50.10
	killed "nat masquerade" 'nat masquerade priv to uplink\n' nat masquerade priv to 10.0.0.100-10.0.0.101
	must x network del priv
	must x network add two mode nat uplink nic0 subnet 192.168.60.0/24
	must x network add priv "${both[@]}"
	must x nat forward add priv tcp 80-89 to 192.168.50.10
	killed "network del" "network add priv $BOTH\\nnat forward add priv tcp 80-89 to 192.168.50.10\\n" network del priv
	must x detach
}

# ---- side by side ----

side_by_side() {
	local i n pids=() bad=0
	must x network add priv "${nat[@]}"
	for i in {1..8}; do
		{ for n in {1..5}; do x nat forward add priv tcp $((1000 * i + n)) to 192.168.50.10; done; } &
		pids+=($!)
		{ for n in 1 2; do x network add "n$i-$n" mode hostonly subnet "10.$i.$n.0/24" >/dev/null; done; } &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i" || bad=$((bad + 1)); done
	equal "commands side by side" $bad 0
	json "... all forwards are there" 'map(select(.kind == "forward")) | length == 40' nat
	json "... and all networks" 'length == 17' network
	equal "... and all ports of both addresses" "$(used nat_ports_tcp)" 80
	seq 30000 30999 | sed 's/.*/nat forward add priv udp & to 192.168.50.11/' >"$T/batch"
	i=$SECONDS
	check "a thousand in a batch" x -b "$T/batch"
	i=$((SECONDS - i))
	equal "... are bound" "$(used nat_ports_udp)" 2000
	n=$SECONDS
	check "a network with many" x network del priv
	check "... takes no longer to go than to come" test $((SECONDS - n)) -le $((2 * i + 2))
	must x detach
}

# ---- all of it ----

run_all() {
	local both=() nat=() part
	read -ra both <<<"$BOTH"
	read -ra nat <<<"$NAT"
	netns host
	veth v1 1
	veth wire 200 nic0
	must ip -n "$P-host" address add 10.0.0.100/24 dev nic0
	must ip -n "$P-host" address add 10.0.0.101/24 dev nic0
	must ip -n "$P-host" address add fd00::100/64 dev nic0 nodad
	must ip -n "$P-host" link add nic1 type bridge
	must ip -n "$P-host" link set nic1 up
	must ns v1 ip address flush dev eth0
	must ns v1 ip address add 192.168.50.10/24 dev eth0
	must ns v1 ip route add default via 192.168.50.1
	for part in network_words network_nat network_hostonly restores; do
		[ -z "${TIMES-}" ] || echo "# $SECONDS s: $part"
		$part
	done
	must x network add priv "${both[@]}"
	for part in nat_words nat_rules nat_listeners nat_masquerade nat_flows; do
		[ -z "${TIMES-}" ] || echo "# $SECONDS s: $part"
		$part
	done
	must x network del priv
	for part in shared follows; do
		[ -z "${TIMES-}" ] || echo "# $SECONDS s: $part"
		$part
	done
	[ -n "$LABEL" ] || deaths # strace and the leak sanitizer do not go together
	side_by_side
	down
}

run_all
# shellcheck disable=SC2034 # lib.sh puts it before each name
LABEL='sanitized: '
XDPCTL=$(dirname "$XDPCTL")/sanitized/xdpctl
if [ -x "$XDPCTL" ]; then
	run_all
	equal "no sanitizer report" "$(cat "$T"/sanitizer* 2>/dev/null | head -n 60)" ""
else
	skip "all of it again" "there is no $XDPCTL (make sanitized)"
fi
finish

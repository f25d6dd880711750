#!/bin/bash
# state.sh - what stays when no process is there, and what goes with detach: pins, devices
# that vanish, come back, are renamed or changed, two namespaces, many ports and networks.
#
#     topology of lib.sh; a second host namespace `other` with VMs o1, o2
# shellcheck disable=SC2317 # functions are called by check

# shellcheck source=selftests/lib.sh
. "$(dirname "$0")/lib.sh"

# The devices as somebody else sees them: flags, offloads, XDP, qdiscs, filters.
devices() {
	local dev
	ip -n "$P-$1" -d link | sed -E 's/ (state|mode) [A-Z]+//g'
	tc -n "$P-$1" qdisc
	for dev in $(ns "$1" ls /sys/class/net); do ns "$1" ethtool -k "$dev"; done
	ns "$1" sysctl -a -r 'net\.ipv[46]\.conf\..*(forwarding|proxy|rp_filter|arp_)' 2>/dev/null
}

# Ids of the maps, programs and links that a namespace's pins and timer hold.
map_ids() {
	local pin
	for pin in "$(pins "$1")"/*; do
		bpftool -j map show pinned "$pin" 2>/dev/null | jq '.id // empty' 2>/dev/null
	done
}

objects() {
	local pin maps
	maps=$(map_ids "$1")
	# shellcheck disable=SC2086
	printf 'map %s\n' $maps
	bpftool -j prog show | jq -r --argjson m "$(jq -sc . <<<"$maps")" \
		'.[] | select(.map_ids and .map_ids - $m != .map_ids).id | "prog \(.)"'
	for pin in "$(pins "$1")"/link_*; do
		bpftool link show pinned "$pin" | sed -n 's/^\([0-9]*\):.*/link \1/p'
	done
}

# gone LIST: the kernel has none of these objects any more.
gone() {
	local kind id left=''
	while read -r kind id; do
		! bpftool "$kind" show id "$id" >/dev/null 2>&1 || left+="$kind $id "
	done <"$1"
	[ -z "$left" ] || { echo "left: $left" && return 1; }
}

# ---- detach ----

detaches() {
	local before
	topology
	# a device that is neither tap nor veth: promiscuity and offloads are changed
	if ! ip -n "$P-host" link add link nic0 name mv0 type macvlan mode bridge 2>/dev/null; then
		must ip -n "$P-host" link add br9 type bridge
		must ip -n "$P-host" link set br9 name mv0
	fi
	must ip -n "$P-host" link set mv0 up
	# something of somebody else's, which must stay
	must tc -n "$P-host" qdisc add dev v3 clsact
	before=$(devices host)
	must x network add lan mode bridge uplink nic0
	must x network add lan2 mode internal
	must x port add lan dev v1 mac 02:00:00:00:00:01 vlan 5
	must x port add lan dev v2 hook xdp trunk 5-7
	must x port add lan dev v3
	must x port add lan2 dev mv0
	objects host >"$T/objects"
	check "a switch has maps, programs, links" test "$(cut -d' ' -f1 "$T/objects" | sort -u | wc -l)" = 3
	check "a device that is no VM's becomes promiscuous" grep -q 'promiscuity [1-9]' <(ip -n "$P-host" -d link show mv0)
	must x port del dev mv0
	check "... until it is no port any more" grep -q 'promiscuity 0' <(ip -n "$P-host" -d link show mv0)
	must x port add lan2 dev mv0 hook xdp
	must x port del dev v3
	equal "port del leaves a foreign clsact" "$(tc -n "$P-host" qdisc show dev v3 | grep -c clsact)" 1
	must x port add lan dev v3
	check "detach" x detach
	check_not "... leaves no pins" test -e "$(pins host)"
	eventually "... no map, program or link" 10 gone "$T/objects"
	equal "... every device as it was" "$(devices host)" "$before"
	check "detach again" x detach
	# what the user has set himself stays
	must ip -n "$P-host" link set mv0 promisc on
	must x network add lan mode bridge uplink nic0
	must x port add lan dev mv0
	must x detach
	check "promiscuity of somebody else's stays" grep -q PROMISC <(ip -n "$P-host" link show mv0)
	down
}

# ---- namespaces ----

spaces() {
	local vm
	topology v1 v2
	netns other
	for vm in 1 2; do
		netns o$vm
		must ip -n "$P-other" link add v$vm type veth peer name eth0 address "$(mac $vm)" netns "$P-o$vm"
		must ip -n "$P-other" link set v$vm up
		must ip -n "$P-o$vm" address add 10.0.0.$vm/24 dev eth0
		must ip -n "$P-o$vm" link set eth0 up
	done
	must x network add lan mode bridge
	must x_in other network add lan mode internal
	for vm in 1 2; do
		must x port add lan dev v$vm
		must x_in other port add lan dev v$vm vlan 7
	done
	check "one namespace switches" pings v1 10.0.0.2
	check "another, too" pings o1 10.0.0.2
	json "each has its own settings" 'all(.[]; .vlan == null)' port
	equal "... with the same names" "$(x_in other -j port | jq -c 'map(.vlan)')" '[7,7]'
	check_not "... and its own pins" test "$(pins host)" = "$(pins other)"
	equal "ip netns exec sees the same as -n" "$(ip netns exec "$P-host" "$XDPCTL" -j port)" "$(x -j port)"
	equal "nsenter, too" "$(ns host "$XDPCTL" -j port)" "$(x -j port)"
	check "a change under ip netns exec" ip netns exec "$P-host" "$XDPCTL" port set dev v1 fdb-max 33
	json "... is there" '.[0].fdb_max == 33' port show dev v1
	must x detach
	check "the first command under ip netns exec" ip netns exec "$P-host" "$XDPCTL" network add lan mode bridge
	check "..." ip netns exec "$P-host" "$XDPCTL" port add lan dev v1
	must x port add lan dev v2
	json "... outlives it" 'map(.dev) == ["v1", "v2"]' port
	check "... and switches" pings v1 10.0.0.2
	must x detach
	equal "detach of one leaves the other" "$(x_in other -j port | jq length)" 2
	check "... switching" pings o1 10.0.0.2
	must x_in other detach
	down
}

# A namespace goes without detach; a later one may get its inode number.
reused() {
	local i inode old='' name=
	netns host
	inode=$(stat -Lc %i "/run/netns/$P-host")
	old=$(pins host)
	must ip -n "$P-host" link add v1 type veth peer name v1p
	must x network add lan mode internal
	must x port add lan dev v1 mac 02:00:00:00:00:01
	objects host | grep link >"$T/objects"
	must ip netns del "$P-host"
	lib_spaces=()
	for i in {1..40}; do
		netns "again$i"
		if [ "$(stat -Lc %i "/run/netns/$P-again$i")" = "$inode" ]; then
			name=again$i
			break
		fi
	done
	if [ -n "$name" ]; then
		equal "a new namespace with an old one's number: no network" "$(x_in "$name" -j network 2>&1)" '[]'
		must ip -n "$P-$name" link add v1 type veth peer name v1p
		check "... a switch of its own" x_in "$name" network add lan mode bridge
		equal "... is empty" "$(x_in "$name" -j port)" '[]'
		check "... takes ports" x_in "$name" port add lan dev v1
		equal "... knows no old address" "$(x_in "$name" -j fdb)" '[]'
		check "... and detaches" x_in "$name" detach
	else
		skip "a new namespace with an old one's number" "40 namespaces did not get number $inode"
		check "what the old one left can be removed" rm -r "$old"
	fi
	check_not "nothing is left of the old one" test -e "$old"
	eventually "... nor its links" 10 gone "$T/objects"
	down
}

# ---- devices ----

# vm NAME N: the VM NAME of `veth`, whose device was deleted, gets a new one.
vm() {
	must ip -n "$P-host" link add "${3:-$1}" ${4+index "$4"} type veth peer name eth0 address "$(mac "$2")" netns "$P-$1"
	must ip -n "$P-host" link set "${3:-$1}" up
	must ip -n "$P-$1" link set eth0 up
	must ip -n "$P-$1" address add "10.0.0.$2/24" dev eth0
}

index() {
	ip -n "$P-host" -j link show "$1" | jq '.[0].ifindex'
}

vanish() {
	local hook=$1 settings
	LABEL="hook $hook: "
	topology
	gro v1 v2 v3
	must x network add lan mode bridge uplink nic0
	for dev in v1 v2 v3; do must x port add lan dev $dev hook "$hook" group 3 fdb-max 50; done
	check "all is there" pings v1 10.0.0.2
	settings=$(x -j port show dev v2 | jq -c '.[0] | del(.state)')
	must ip -n "$P-host" link del v2
	json "a device that is gone is missing" '.[0].state == "missing"' port show dev v2
	equal "... keeps its settings" "$(x -j port show dev v2 | jq -c '.[0] | del(.state)')" "$settings"
	check "... which can be changed" x port set dev v2 fdb-max 60
	check "... others go on" pings v1 10.0.0.3
	json "... status shows it" 'any(.ports[]; .dev == "v2")' status
	vm v2 2
	must gro v2
	json "re-made it is back" '.[0] | .state == "up" and .fdb_max == 60 and .group == 3' port show dev v2
	check "... with traffic" pings v1 10.0.0.2
	check "... of the wire, too" pings wire 10.0.0.2
	# a change, not a look, may be what finds it
	must ip -n "$P-host" link del v2
	vm v2 2
	must gro v2
	check "re-made unnoticed: a change" x port set dev v2 fdb-max 70
	check "... brings it back" pings v1 10.0.0.2
	# the same number again
	must ip -n "$P-host" link set v2 down
	settings=$(index v2)
	must ip -n "$P-host" link del v2
	vm v2 2 v2 "$settings"
	must gro v2
	json "re-made with its old index" '.[0].state == "up"' port show dev v2
	check "... traffic" pings v1 10.0.0.2
	# a stranger with the number of a port
	settings=$(index v2)
	must ip -n "$P-host" link del v2
	must ip -n "$P-host" link add stranger index "$settings" type veth peer name stranger1
	json "another device with its index is not it" '.[0].state == "missing"' port show dev v2
	equal "... nor a port" "$(x -j port | jq -c 'map(.dev)')" '["nic0","v1","v2","v3"]'
	must ip -n "$P-host" link del stranger
	check "a missing port can be deleted" x port del dev v2
	json "... is gone" 'map(.dev) == ["nic0", "v1", "v3"]' port
	# moved out of the namespace and back
	netns away
	must ip -n "$P-host" link set v3 netns "$P-away"
	json "moved to another namespace: missing" '.[0].state == "missing"' port show dev v3
	must ip -n "$P-away" link set v3 netns "$P-host"
	must ip -n "$P-host" link set v3 up
	json "... and back" '.[0].state == "up"' port show dev v3
	check "... traffic" pings v1 10.0.0.3
	# renamed
	must ip -n "$P-host" link set v3 down
	must ip -n "$P-host" link set v3 name tap3
	must ip -n "$P-host" link set tap3 up
	json "renamed: the port follows" 'map(.dev) == ["nic0", "v1", "tap3"]' port
	check "... traffic" pings v1 10.0.0.3
	check "... settable" x port set dev tap3 fdb-max 5
	refused "... by its new name only" 1 v3 port set dev v3 fdb-max 6
	check "... deletable" x port del dev tap3
	down
	LABEL=''
}

# A port's device takes the name of another port's that is missing.
taken_name() {
	topology
	must x network add lan mode internal
	for dev in v1 v2 v3; do must x port add lan dev $dev; done
	must ip -n "$P-host" link del v2
	must x port show
	must ip -n "$P-host" link set v3 down
	must ip -n "$P-host" link set v3 name v2
	must ip -n "$P-host" link set v2 up
	check "renamed to a missing port's name: the next command works" x port show
	equal "... every name is there once" "$(x -j port | jq -c 'map(.dev) | length == (unique | length)')" true
	check "... traffic" pings v1 10.0.0.3
	check "... detach" x detach
	down
}

uplinks() {
	topology
	must x network add lan mode bridge uplink nic0
	must x port add lan dev v1
	must x port add lan dev v2
	must ip -n "$P-host" link add nic1 type veth peer name eth1 address "$(mac 200)" netns "$P-wire"
	must ip -n "$P-host" link set nic1 up
	check "behind the first uplink" pings v1 10.0.0.200
	check "uplink to another device" x network set lan uplink nic1
	must ip -n "$P-wire" link set eth0 down
	must ip -n "$P-wire" address flush dev eth0
	must ip -n "$P-wire" address add 10.0.0.200/24 dev eth1
	must ip -n "$P-wire" link set eth1 up
	check "... leads there" pings v1 10.0.0.200
	check "... VMs go on" pings v1 10.0.0.2
	json "... shows it" '.[0].uplink == "nic1"' network
	json "... the old one is no port" 'map(.dev) | index("nic0") == null' port
	check "... and back" x network set lan uplink nic0
	must ip -n "$P-wire" link set eth1 down
	must ip -n "$P-wire" address flush dev eth1
	must ip -n "$P-wire" link set eth0 up
	must ip -n "$P-wire" address add 10.0.0.200/24 dev eth0
	check "... leads back" pings v1 10.0.0.200
	check "the host, too" pings v1 10.0.0.100
	# its address
	must ip -n "$P-host" link set nic0 address "$(mac 101)"
	for vm in v1 wire; do must ip -n "$P-$vm" neigh flush all; done
	check "another address of the uplink" x port show
	check "... the wire reaches the host" pings wire 10.0.0.100
	check "... a VM does" pings v1 10.0.0.100
	check "... and the host a VM" pings host 10.0.0.1
	check "... IPv6" pings v1 fd00::100
	# MTU, 9000 octets everywhere
	must x port show
	for vm in v1 v2; do
		must ip -n "$P-host" link set $vm mtu 9000
		must ip -n "$P-$vm" link set eth0 mtu 9000
	done
	check "another MTU" x port show
	check "... is used" pings v1 10.0.0.2 -M "do" -s 8900
	must ip -n "$P-host" link set v2 mtu 1500
	must x port show
	check_not "a smaller one, too" pings v1 10.0.0.2 -M "do" -s 8900
	check "... what fits passes" pings v1 10.0.0.2 -s 1400
	# the uplink's device vanishes and comes back
	must ip -n "$P-host" link del nic0
	json "a vanished uplink is missing" '.[0] | .uplink and .state == "missing"' port show dev nic0
	json "... and still the uplink" '.[0].uplink == "nic0"' network
	check "... VMs go on" pings v1 10.0.0.2
	must ip -n "$P-host" link add nic0 type veth peer name eth0 address "$(mac 200)" netns "$P-wire"
	must ip -n "$P-host" link set nic0 up
	must ip -n "$P-wire" link set eth0 up
	must ip -n "$P-wire" address add 10.0.0.200/24 dev eth0
	must ip -n "$P-host" address add 10.0.0.100/24 dev nic0
	must ip -n "$P-v1" neigh flush all
	json "... comes back" '.[0].state == "up"' port show dev nic0
	check "... leads to the wire" pings v1 10.0.0.200
	check "... and to the host" pings v1 10.0.0.100
	must ip -n "$P-host" link del nic0
	check "a missing uplink can be replaced" x network set lan uplink nic1
	check "... and the network deleted" x -b - < <(printf '%s\n' 'port del dev v1' 'port del dev v2' 'network del lan')
	down
}

# ---- who may, and where ----

# as_nobody CMD...: without any rights.
as_nobody() {
	setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all "$@"
}

rights() {
	topology v1
	must install -m 755 "$XDPCTL" "$T/xdpctl"
	chmod 755 "$T"
	for command in status 'network show' 'network add lan mode internal' detach; do
		# shellcheck disable=SC2086
		if as_nobody "$T/xdpctl" $command >"$T/out" 2>"$T/err"; then
			not_ok "not root: $command" "exit 0"
		else
			equal "not root: $command: exit status, lines, says why" \
				"$? $(wc -l <"$T/err") $(grep -c root "$T/err")" '1 1 1'
		fi
	done
	check "not root: help" as_nobody "$T/xdpctl" help
	check "not root: port add help" as_nobody "$T/xdpctl" port add help
	check "not root: -V" as_nobody "$T/xdpctl" -V
	equal "not root: JSON errors" "$(as_nobody "$T/xdpctl" -j status 2>&1 | jq -c keys)" '["code","error"]'
	down
}

# xdpctl in mount and pid namespaces of its own, where SETUP made its BPF file system unusable.
confined() {
	local setup=$1
	shift
	unshare --mount --pid --fork --mount-proc sh -c "$setup; exec nsenter --net=/run/netns/$P-host \"\$@\"" \
		sh "$XDPCTL" "$@"
}

unusable() {
	local setup name out
	topology v1
	for name in 'no BPF file system' 'a read-only BPF file system' 'a link to nowhere in its way'; do
		case $name in
		no*) setup='umount -l /sys/fs/bpf 2>/dev/null; mount -t tmpfs -o ro none /sys/fs' ;;
		*read-only*) setup='mount -t bpf none /sys/fs/bpf && mount -o remount,ro,bind /sys/fs/bpf' ;;
		*) setup="mount -t bpf none /sys/fs/bpf && ln -s /nowhere /sys/fs/bpf/xdpctl" ;;
		esac
		out=$(confined "$setup" network add lan mode internal 2>&1 >/dev/null)
		equal "$name: exit status, lines, the place" "$? $(wc -l <<<"$out") $(grep -c /sys/fs <<<"$out")" '1 1 1'
		[[ $out == xdpctl:* ]] || not_ok "$name: whose message" "$out"
	done
	equal "... and no switch" "$(x -j network)" '[]'
	down
}

# ---- scale ----

many() {
	local i n
	netns host
	for i in {1..100}; do echo "link add a$i type veth peer name b$i"; done >"$T/links"
	must ip -n "$P-host" -b "$T/links"
	for i in {1..100}; do
		echo "network add net$i mode internal"
		echo "port add net$i dev a$i vlan $i"
		echo "port add net$i dev b$i mac 02:00:00:00:01:$(printf %02x "$i") ip 10.0.$i.0/24,fd00:$i::/64"
	done >"$T/batch"
	check "100 networks, 200 ports" x -b "$T/batch"
	json "... are there" 'length == 100 and all(.[]; (.ports | length) == 2)' network
	json "... each with its settings" '[.[] | select(.dev[:1] == "a")] | length == 100 and
		all(.[]; .dev == "a\(.vlan)" and .network == "net\(.vlan)")' port
	json "... in the order that they were added" '[.[].name[3:] | tonumber] == [range(1; 101)]' network
	json "... fill levels" '(.maps | map({(.name): .used}) | add) == {"networks": 100, "ports": 200,
		"port_macs": 100, "port_ips": 300, "fdb": 100, "acl_rules": 0, "flows": 0, "flows_opening": 0,
		"nat_addrs": 0, "nat_rules": 0, "nat_ports_tcp": 0, "nat_ports_udp": 0, "nat_ports_icmp": 0, "nat_ports_sctp": 0,
		"nat_endpoints": 0}' status
	must x network set net50 ageing 10s
	must x port del dev a77
	must x port add net1 dev a77
	json "... one of them changes" '[.[] | select(.name == "net1").ports[]] == ["a1", "b1", "a77"]' network
	objects host >"$T/objects"
	check "detach" x detach
	eventually "... leaves nothing" 10 gone "$T/objects"
	n=$(ip -n "$P-host" -o link | wc -l)
	equal "... and takes no device" "$n" 201
	down
}

# The state is in the kernel alone.
persists() {
	topology
	must x network add lan mode bridge uplink nic0
	must x port add lan dev v1
	must x port add lan dev v2
	spawn v1 ping -i 0.01 10.0.0.2 >"$T/ping"
	local talk=$!
	check_not "no process of ours stays" pgrep -f "^$XDPCTL -n $P-host"
	check "traffic" pings v1 10.0.0.200
	json "counters are there" '.[0].tx_packets > 0' stats
	must x port set dev v2 fdb-max 99
	must x network set lan ageing 99s
	must x port add lan dev v3
	must x port del dev v3
	end_ping "$talk"
	equal "changes elsewhere: the talk lost nothing" \
		"$(grep -o ' [0-9.]*% packet loss' "$T/ping")" ' 0% packet loss'
	check "every map is typed and readable" readable
	down
}

end_ping() {
	kill -INT "$1"
	wait "$1"
}

readable() {
	local pin
	for pin in fdb ports networks port_info network_info meta; do
		bpftool map show pinned "$(pins host)/$pin" | grep -q btf_id || { echo "$pin has no BTF" && return 1; }
		bpftool -j map dump pinned "$(pins host)/$pin" | jq -e '.[0].formatted.value' >/dev/null ||
			{ echo "$pin cannot be read" && return 1; }
	done
}

detaches
spaces
reused
vanish tc
vanish xdp
taken_name
uplinks
rights
unusable
many
persists
finish

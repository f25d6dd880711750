#!/bin/bash
# fdb.sh - the forwarding database: learning, ageing, moves, static and sticky entries,
# limits, and the commands; with the hooks tc and xdp.
#
#     v1 ┐
#     v2 ┼ lan (bridge) ─ nic0 ── wire, and the host
#     v3 ┘

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# known NAME MAC DEV [FILTER]: the address is behind DEV.
known() {
	json "$1" "any(.[]; .mac == \"$2\" and .dev == \"$3\" and (${4:-true}))" fdb show network lan
}

# unknown NAME MAC
unknown() {
	json "$1" "all(.[]; .mac != \"$2\")" fdb show network lan
}

# learned DEV: how many.
learned() {
	x -j fdb show dev "$1" | jq 'map(select(.state == "dynamic")) | length'
}

notes() {
	x -j stats dev "$1" | jq ".[0].notes.$2"
}

gone() {
	x -j fdb show | jq -e "all(.[]; .mac != \"$1\")"
}

used() {
	x -j status | jq '.maps[] | select(.name == "fdb").used'
}

build() {
	topology
	must x network add lan mode bridge uplink nic0 "$@"
	must x port set dev nic0 hook $hook
	for vm in v1 v2 v3; do must x port add lan dev $vm hook $hook; done
	gro v1 v2 v3 wire
	frames v1 v2 v3 wire dev:nic0
}

# Which ports learn, and what that changes.
learning() {
	known "a VM's address" "$(mac 11)" v1 '.state == "dynamic" and .vlan == 0 and .network == "lan" and .age < 60'
	unknown "of no frame, no entry" "$(mac 12)"
	frame "known unicast" v2 "m11 m12 88b5" v1
	known "its answer is learned" "$(mac 12)" v2
	frame "to the wire's address" wire "m11 m201 88b5" v1
	known "learned on the uplink" "$(mac 201)" nic0
	frame "and used" v1 "m201 m11 88b5" wire
	frame "a group address as source" v1 "bc 01:00:5e:00:00:01 88b5"
	unknown "is not learned" 01:00:5e:00:00:01
	must x port set dev v3 learning off
	frame "learning off: sends" v3 "bc m13 88b5" v1 v2 wire dev:nic0
	unknown "is not learned" "$(mac 13)"
	frame "unknown unicast is flooded" v1 "m13 m11 88b5" v2 v3 wire
	must x port set dev v3 learning on
	frame "learning on again" v3 "bc m13 88b5" v1 v2 wire dev:nic0
	known "is learned" "$(mac 13)" v3
}

moves() {
	local before
	before=$(notes v2 fdb_moved)
	frame "an address moves" v2 "bc m11 88b5" v1 v3 wire dev:nic0
	known "with the frame" "$(mac 11)" v2
	equal "noted" "$(notes v2 fdb_moved)" $((before + 1))
	frame "traffic follows" v3 "m11 m13 88b5" v2
	frame "and back, by unicast" v1 "m13 m11 88b5" v3
	known "at once" "$(mac 11)" v1
	must x port set dev v1 sticky on
	frame "learned on a sticky port" v1 "bc m14 88b5" v2 v3 wire dev:nic0
	frame "seen elsewhere" v2 "bc m14 88b5" v1 v3 wire dev:nic0
	known "it stays" "$(mac 14)" v1
	frame "traffic still goes there" v3 "m14 m13 88b5" v1
	must x port set dev v1 sticky off
}

static() {
	must x fdb add "$(mac 15)" dev v1
	known "a static entry" "$(mac 15)" v1 '.state == "static"'
	frame "is used at once" v3 "m15 m13 88b5" v1
	frame "seen elsewhere" v2 "bc m15 88b5" v1 v3 wire dev:nic0
	known "it never moves" "$(mac 15)" v1 '.state == "static"'
	frame "not even on a sticky port" v2 "m13 m15 88b5" v3
	frame "and is used" v3 "m15 m13 88b5" v1
	refused "a second one" 1 "$(mac 15)" fdb add "$(mac 15)" dev v1
	refused "nor on another port" 1 "$(mac 15)" fdb add "$(mac 15)" dev v2
	must x fdb add "$(mac 11)" dev v3
	known "a learned address becomes static" "$(mac 11)" v3 '.state == "static"'
	must x fdb flush
	known "flush keeps static ones" "$(mac 15)" v1
	unknown "and nothing else" "$(mac 12)"
	must x fdb del "$(mac 11)"
	must x fdb del "$(mac 15)" network lan vlan 0
	unknown "deleted" "$(mac 15)"
	frame "flooded again" v3 "m15 m13 88b5" v1 v2 wire
	refused "deleted twice" 1 "$(mac 15)" fdb del "$(mac 15)"
}

commands() {
	local bad
	for bad in 02:00:00:00:00 02:00:00:00:00:0g 01:00:5e:00:00:01 00:00:00:00:00:00 02-00-00-00-00-01 x; do
		refused "add $bad" 2 "$bad" fdb add $bad dev v1
	done
	refused "add without dev" 2 dev fdb add "$(mac 20)"
	refused "add, unknown dev" 1 nodev fdb add "$(mac 20)" dev nodev
	refused "add, bad VLAN" 2 4095 fdb add "$(mac 20)" dev v1 vlan 4095
	refused "show, unknown network" 1 nonet fdb show network nonet
	refused "flush, unknown dev" 1 nodev fdb flush dev nodev
	must x port set dev v1 trunk 10,20
	must x port set dev v2 vlan 10
	must x port set dev v3 trunk 10 native 30
	refused "a trunk needs vlan" 1 vlan fdb add "$(mac 20)" dev v1
	refused "a VLAN that it does not carry" 1 30 fdb add "$(mac 20)" dev v1 vlan 30
	check "add in a VLAN" x fdb add "$(mac 20)" dev v1 vlan 10
	check "and in another" x fdb add "$(mac 20)" vlan 20 dev v1
	check "add, the access VLAN" x fdb add "$(mac 21)" dev v2
	check "add, the native VLAN" x fdb add "$(mac 22)" dev v3
	check "add, any VLAN on a transparent port" x fdb add "$(mac 23)" dev nic0 vlan 99
	known "access" "$(mac 21)" v2 '.vlan == 10'
	known "native" "$(mac 22)" v3 '.vlan == 30'
	known "transparent" "$(mac 23)" nic0 '.vlan == 99'
	refused "del, where is it" 1 vlan fdb del "$(mac 20)"
	check "del in a VLAN" x fdb del "$(mac 20)" vlan 20
	json "the other one is there" 'map(.vlan) == [10]' fdb show dev v1
	frames v1 v2 v3 wire
	frame "learned in a VLAN" v1 "bc m30 8100:000a 88b5" \
		"v2=bc m30 88b5" v3 wire
	frame "and in another" v1 "bc m30 8100:0014 88b5" wire
	frame "another port" wire "bc m201 8100:000a 88b5" v1 "v2=bc m201 88b5" v3
	json "show by VLAN" 'map(select(.state == "dynamic").mac) | contains(["02:00:00:00:00:1e", "02:00:00:00:00:c9"])' fdb show vlan 10
	json "show by VLAN and port" 'map(.vlan) | unique == [20]' fdb show vlan 20 dev v1
	json "show by network" 'length >= 7 and all(.[]; .network == "lan")' fdb show network lan
	check "flush by VLAN" x fdb flush vlan 20 network lan
	json "that one is gone" 'map(.vlan) | unique == [10]' fdb show dev v1
	check "flush by port" x fdb flush dev v1
	json "its static one stays" 'map(.state) == ["static"]' fdb show dev v1
	known "others' stay" "$(mac 201)" nic0
	check "flush by network" x fdb flush network lan
	json "only static ones are left" 'all(.[]; .state == "static") and length == 4' fdb show
	must x port del dev v2
	unknown "a port takes its entries along" "$(mac 21)"
	must x port add lan dev v2 hook $hook
	must x port set dev v1 trunk none
	must x port set dev v3 trunk none
	must x fdb del "$(mac 20)" vlan 10
	check "bpftool reads the table" sh -c "bpftool -j map dump pinned $(pins host)/fdb |
		jq -e 'any(.[].formatted; .key.vlan == 99 and .key.network == 1 and
			.key.mac == [2, 0, 0, 0, 0, 23] and .value.state == \"FDB_STATIC\")'"
	# the kernel takes no types for a devmap, a map of maps or a ring
	check "every map has types" sh -c "for pin in $(pins host)/*; do
		case \$pin in */prog_* | */link_*) continue ;; esac
		bpftool -j map show pinned \$pin | jq -e '.btf_id or .type == \"devmap\" or .type == \"array_of_maps\" or .type == \"ringbuf\"' >/dev/null || { echo \$pin; exit 1; }
	done"
}

# The mac setting is a guard and static entries.
own_addresses() {
	local before
	must x port set dev v2 mac "$(mac 2),$(mac 40)"
	json "shown" '.[0].mac == ["02:00:00:00:00:02", "02:00:00:00:00:28"]' port show dev v2
	known "static before it speaks" "$(mac 40)" v2 '.state == "static"'
	frame "to it" v1 "m40 m1 88b5" v2
	frame "from it" v2 "bc m40 88b5" v1 v3 wire dev:nic0
	frame "its other address" v2 "m1 m2 88b5" v1
	before=$(drops v2 mac_spoof)
	frame "another source" v2 "m1 m41 88b5"
	frame "another source, broadcast" v2 "bc m41 88b5"
	equal "mac_spoof" "$(($(drops v2 mac_spoof) - before))" 2
	unknown "is not learned" "$(mac 41)"
	frame "the address from elsewhere does not take it away" v3 "bc m40 88b5" v1 v2 wire dev:nic0
	frame "still there" v1 "m40 m1 88b5" v2
	refused "nobody else can have it" 1 "$(mac 40)" port set dev v3 mac "$(mac 40)"
	json "nothing changed" '.[0].mac == null' port show dev v3
	check "real traffic passes" pings v2 10.0.0.1
	check "IPv6 too" pings v2 fd00::200
	must x port set dev v2 mac "$(mac 41)"
	check "a guest with another address is cut off" silent v2 10.0.0.1
	unknown "the old ones are gone" "$(mac 40)"
	must x port set dev v2 mac any
	check "any again" pings v2 10.0.0.1
	json "no setting" '.[0].mac == null' port show dev v2
	unknown "no static entry" "$(mac 41)"
}

# A flood of addresses hits its sender only.
limits() {
	local before
	build fdb-max 60
	frame "v2 speaks" v2 "bc m2 88b5" v1 v3 wire dev:nic0
	frame "the wire speaks" wire "bc m201 88b5" v1 v2 v3 dev:nic0
	must x port set dev v1 fdb-max 10
	must x fdb flush dev v1
	send v1 300 "bc 02:11:00:00:00:00 88b5"
	eventually "all frames are counted" 5 sh -c "[ \$('$XDPCTL' -n $P-host -j stats dev v1 | jq '.[0].notes.fdb_refused') -ge 290 ]"
	equal "port limit" "$(learned v1)" 10
	frame "an address that was not learned can send" v1 "m2 02:11:00:00:01:00 88b5" v2
	frame "and is reached by flooding" v2 "02:11:00:00:01:00 m2 88b5" v1 v3 wire
	known "the first ones are known" 02:11:00:00:00:00 v1
	must x port set dev v1 fdb-max none
	send v1 3000 "bc 02:12:00:00:00:00 88b5"
	eventually "network limit" 5 sh -c "[ \$('$XDPCTL' -n $P-host -j stats dev v1 | jq '.[0].notes.fdb_evicted') -ge 2900 ]"
	check "no more than 60" test "$(x -j fdb show network lan | jq 'map(select(.state == "dynamic")) | length')" -le 60
	known "its last address is known" 02:12:00:00:0b:b7 v1
	known "v2's is still there" "$(mac 2)" v2
	known "the wire's too" "$(mac 201)" nic0
	send v3 3000 "bc 02:13:00:00:00:00 88b5"
	known "a second port floods: v2's stays" "$(mac 2)" v2
	known "and the wire's" "$(mac 201)" nic0
	check "the flooders share what is left" test "$(learned v1)" -ge 20 -a "$(learned v3)" -ge 20
	send v2 10 "bc 02:14:00:00:00:00 88b5"
	known "a quiet port gets its addresses in" 02:14:00:00:00:09 v2
	frame "first of all" v3 "02:14:00:00:00:00 m3 88b5" v2
	check "still no more than 60" test "$(x -j fdb show network lan | jq 'map(select(.state == "dynamic")) | length')" -le 60
	must x network set lan fdb-max none
	send v1 500 "bc 02:15:00:00:00:00 88b5"
	check "without a limit all fit" test "$(learned v1)" -ge 500
	down
}

# From last use, not from first.
ageing() {
	local speaker
	build ageing 3s
	frame "v2 speaks" v2 "bc m12 88b5" v1 v3 wire dev:nic0
	frame "v3 speaks" v3 "bc m13 88b5" v1 v2 wire dev:nic0
	must x fdb add "$(mac 15)" dev v3
	frames_close
	spawn v1 ping -q -i 0.2 10.0.0.200 >/dev/null
	speaker=$!
	eventually "a quiet address goes" 15 gone "$(mac 12)"
	eventually "another too" 15 gone "$(mac 13)"
	known "one in use stays" "$(mac 1)" v1
	known "the one that answers, too" "$(mac 200)" nic0
	known "a static one stays" "$(mac 15)" v3
	end $speaker
	frames v1 v2 v3 wire
	frame "unicast to it is flooded" v3 "m12 m13 88b5" v1 v2 wire
	eventually "at last the table has room again" 20 sh -c \
		"[ \$('$XDPCTL' -n $P-host -j status | jq '.maps[] | select(.name == \"fdb\").used') -le 2 ]"
	must x network set lan ageing 1h
	frame "ageing is changed" v2 "bc m12 88b5" v1 v3 wire
	json "shown" '.[0].ageing == 3600' network
	down
}

batch() {
	local i
	netns host
	must ip -n "$P-host" link add name p1 type veth peer name p2
	must x network add lan mode bridge
	must x port add lan dev p1
	for ((i = 0; i < 10000; i++)); do
		printf 'fdb add 02:20:00:00:%02x:%02x dev p1\n' $((i >> 8)) $((i & 255))
	done >"$T/batch"
	check "10,000 adds by -b" x -b "$T/batch"
	json "all are there" 'length == 10000 and all(.[]; .state == "static")' fdb show dev p1
	check "deleted by -b from stdin" sh -c "sed 's/ dev p1//; s/add/del/' '$T/batch' | '$XDPCTL' -n $P-host -b -"
	json "none is left" '. == []' fdb show
	equal "nor counted" "$(used)" 0
	down
}

for hook in tc xdp; do
	LABEL="$hook: "
	build
	frame "a VM speaks" v1 "bc m11 88b5" v2 v3 wire dev:nic0
	learning
	moves
	static
	commands
	frames v1 v2 v3 wire dev:nic0
	own_addresses
	down
	limits
	ageing
done
LABEL=
batch
finish

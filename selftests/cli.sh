#!/bin/bash
# cli.sh - the command line: every object, command and key; what is refused and how; JSON,
# batches, help. Runs with the binary under test and with its sanitized build.
#
#     v1 v2 v3 and nic0 as in lib.sh; v3 stays free for commands that must be refused.

# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=selftests/lib.sh
. "$(dirname "$0")/lib.sh"

export ASAN_OPTIONS="detect_leaks=1:log_path=$T/sanitizer:exitcode=99"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$T/sanitizer"

# All that a refused command must not change: what is shown, pins, programs, device settings.
state() {
	printf '%s\n' 'network show' 'port show' 'fdb show' | x -j -b - |
		jq -cS '.[2] |= map(select(.state == "static")) | .[][]' || echo "cannot be shown"
	ls -i "$(pins host)" 2>&1
	ip -n "$P-host" -d link
	tc -n "$P-host" qdisc
}

# Our programs, and what the links run.
programs() {
	local pin
	bpftool -j prog show | jq -c --argjson m "$(map_ids)" '.[] | select(.map_ids - $m != .map_ids).id'
	for pin in "$(pins host)"/link_*; do bpftool link show pinned "$pin" | grep -o "prog [0-9]*"; done
}

# The ids of our maps: programs that use one of them are ours.
map_ids() {
	local pin
	for pin in "$(pins host)"/*; do
		bpftool -j map show pinned "$pin" 2>/dev/null | jq '.id // empty' 2>/dev/null
	done | jq -cs .
}

# bad STATUS TEXT ARG...: refused, in one line with TEXT, and nothing changes.
bad() {
	local status=$1 text=$2 seen name
	shift 2
	name=$(printf ' %.40q' "$@")
	refused "refused ($status):$name" "$status" "$text" "$@"
	seen=$(state)
	if [ "$seen" != "$before" ]; then
		not_ok "changes nothing:$name" "$(diff <(echo "$before") <(echo "$seen"))"
		before=$seen
	fi
}

# exits STATUS CMD...
exits() {
	local wanted=$1 status
	shift
	"$@" >"$T/out" 2>"$T/err" </dev/null
	status=$?
	[ $status = "$wanted" ] || { echo "exit $status, wanted $wanted" && cat "$T/out" "$T/err" && return 1; }
}

# prints TEXT CMD...: exit 0, TEXT on stdout, nothing on stderr.
prints() {
	local text=$1
	shift
	exits 0 "$@" && [ ! -s "$T/err" ] && grep -qF -- "$text" "$T/out" && return
	cat "$T/out" "$T/err"
	return 1
}

# silently CMD...: exit 0, and nothing said.
silently() {
	exits 0 "$@" && [ ! -s "$T/err" ] && [ ! -s "$T/out" ] && return
	cat "$T/out" "$T/err"
	return 1
}

# batch TEXT: what -b reads.
batch() {
	printf '%b' "$1" >"$T/batch"
}

# ---- help and options: no state is needed, none is made ----

helps() {
	local object command
	check "xdpctl help" prints "Usage: xdpctl" x help
	check "xdpctl -h" prints "Usage: xdpctl" "$XDPCTL" -h
	check "xdpctl --help" prints "Usage: xdpctl" "$XDPCTL" --help
	for object in network port fdb acl flow stats status detach; do
		check "help lists $object" prints "  $object" x help
		check "$object help" prints "xdpctl $object" x "$object" help
		check "$object -h" prints "xdpctl $object" x "$object" -h
	done
	for command in network\ {show,add,set,del} port\ {show,add,set,del} fdb\ {show,add,del,flush} \
		acl\ {show,add,del,load,log} flow\ {show,count,flush} stats\ {show,reset,reasons} status\ show; do
		# shellcheck disable=SC2086
		check "$command help" prints "Usage: xdpctl $command" x $command help
		# shellcheck disable=SC2086
		check "$command -h" prints "Usage: xdpctl $command" x $command -h
		check "${command% *} help lists ${command#* }" prints "xdpctl $command" x "${command% *}" help
	done
	for key in vlan trunk native isolated group mac ip learning flood mcast-flood bcast-flood sticky \
		fdb-max hairpin hook dhcp-server ra policy-in policy-out conn-max; do
		check "port help tells of $key" prints " $key" x port help
	done
	check "-V" prints "xdpctl $(sed -n 's/^VERSION[ \t]*:= *//p' "$HERE/../Makefile")" "$XDPCTL" -V
	check "--version" prints "xdpctl " "$XDPCTL" --version
	check "-h before an object is help, too" prints "xdpctl status" x -h status
	check "no object: exit 2" exits 2 x
	check "-h of -h detach does not detach" help_does_nothing
}

help_does_nothing() {
	x network add helped mode internal
	x -h detach && x network show helped && x detach
}

options() {
	refused "-j without an object: a JSON error" 2 '"code":"EINVAL"' -j
	refused "unknown option" 2 '-Z' -Z
	refused "unknown long option" 2 '--foo' --foo
	refused "-b needs a value" 2 '-b' -b
	refused "--force needs -b" 2 '--force' --force network show
	refused "words after -b FILE" 2 'network' -b /dev/null network show
	refused "a batch that is not there" 1 "$T/no/batch" -b "$T/no/batch"
	refused "a batch that is a directory" 1 'directory' -b "$T"
	check "-n needs a value" exits 2 "$XDPCTL" -n
	check "-n of no namespace" exits 1 "$XDPCTL" -n "$P-nowhere" network show
	check "... names it" grep -q "$P-nowhere" "$T/err"
	check "-n with a path" exits 2 "$XDPCTL" -n ../netns/"$P-host" network show
	check "-n with an empty name" exits 2 "$XDPCTL" -n "" network show
	check "--netns=NAME" prints "[]" "$XDPCTL" --json --netns="$P-host" network show
	check "-jp together" prints "[" "$XDPCTL" -jpn "$P-host" network
	refused "an option behind the object" 2 '-j' network show -j
}

# ---- a namespace without a switch ----

empty() {
	local object
	for object in network port fdb acl flow stats; do
		equal "$object without a switch" "$(x -j "$object")" '[]'
	done
	json "status without a switch" '.ports == [] and .maps == []' status
	check "detach without a switch" silently x detach
	check "fdb flush without a switch" silently x fdb flush
	refused "port add without a switch" 1 'lan' port add lan dev v3
	refused "network set without a switch" 1 'lan' network set lan ageing 30s
	refused "network del without a switch" 1 'lan' network del lan
	refused "port del without a switch" 1 'v1' port del dev v1
	refused "fdb add without a switch" 1 'v1' fdb add 02:00:00:00:00:01 dev v1
	refused "fdb del without a switch" 1 '02:00:00:00:00:01' fdb del 02:00:00:00:00:01
	check_not "... and none of them makes one" test -e "$(pins host)"
	refused "a first network whose uplink is not there" 1 'nope' network add lan mode bridge uplink nope
	check_not "... leaves no switch" test -e "$(pins host)"
	x detach
}

# ---- words, orders, defaults, JSON ----

NETWORK='["name","mode","uplink","subnet","gateway","subnet6","gateway6","ageing","fdb_max","ports"]'
PORT='["dev","network","uplink","vlan","trunk","native","isolated","group","mac","learning","flood",
	"mcast_flood","bcast_flood","sticky","fdb_max","hairpin","hook","state","ip","dhcp_server","ra",
	"policy_in","policy_out","conn_max"]'

networks() {
	check "network add, all keys" silently x network add lan mode bridge uplink nic0 ageing 5m fdb-max 1000
	check "network add, another order" silently x network add net.2_x-y fdb-max 7 ageing 1h mode bridge
	check "network add mode internal" silently x network add intern mode internal
	json "network show: the keys of the contract" \
		"length == 3 and all(.[]; keys == ($NETWORK | sort))" network show
	json "network show: types and values" '.[0] == {"name": "lan", "mode": "bridge", "uplink": "nic0",
		"subnet": null, "gateway": null, "subnet6": null, "gateway6": null, "ageing": 300,
		"fdb_max": 1000, "ports": ["nic0"]}' network show
	json "... of another" '.[0] | .ageing == 3600 and .fdb_max == 7 and .uplink == null and .ports == []' \
		network show net.2_x-y
	json "network show NAME shows one" 'map(.name) == ["intern"]' network show intern
	equal "show is the default" "$(x -j network)" "$(x -j network show)"
	check "network set" silently x network set lan fdb-max 5 ageing 30s
	json "... sets" '.[0] | .ageing == 30 and .fdb_max == 5 and .uplink == "nic0"' network show lan
	check "network set none" silently x network set lan ageing none fdb-max none
	json "... unsets" '.[0] | .ageing == 300 and .fdb_max == null' network show lan
	check "network set uplink none" silently x network set lan uplink none
	json "... takes the uplink away" '.[0] | .uplink == null and .ports == []' network show lan
	equal "... and its port" "$(x -j port show)" "[]"
	check "network set uplink DEV" silently x network set lan uplink nic0
	check "... again" silently x network set lan uplink nic0
	json "... puts it there" '.[0].uplink == "nic0"' network show lan
	json "an uplink is a port" '.[0] | .uplink == true and .network == "lan"' port show dev nic0
	check "network del" silently x network del net.2_x-y
	json "... deletes" 'map(.name) == ["lan", "intern"]' network show
	check "text: a network a line" test "$(x network | wc -l)" = 2
	check "text: names it first" grep -q '^lan .*uplink nic0' <(x network show)
}

ports() {
	check "port add" silently x port add lan dev v1
	json "port show: the keys of the contract" "all(.[]; keys == ($PORT | sort))" port show
	json "port show: the defaults" '.[0] == {"dev": "v1", "network": "lan", "uplink": false, "vlan": null,
		"trunk": null, "native": null, "isolated": false, "group": 0, "mac": null, "learning": true,
		"flood": true, "mcast_flood": true, "bcast_flood": true, "sticky": false, "fdb_max": 0,
		"hairpin": false, "hook": "tc", "state": "up", "ip": null, "dhcp_server": true, "ra": true,
		"policy_in": "allow", "policy_out": "allow", "conn_max": 0}' port show dev v1
	check "port add, all keys" silently x port add lan dev v2 trunk 10,20,100-103 native 20 isolated on \
		group 7 mac 02:00:00:00:00:02,02:00:00:00:AA:02 learning off flood off mcast-flood off \
		bcast-flood off sticky on fdb-max 9 hairpin on hook xdp ip 10.0.0.2,10.1.0.0/16,FD00:0::/64 \
		dhcp-server off ra on policy-in deny policy-out deny conn-max 100
	local all='.[0] == {"dev": "v2", "network": "lan", "uplink": false, "vlan": null,
		"trunk": [10, 20, 100, 101, 102, 103], "native": 20, "isolated": true, "group": 7,
		"mac": ["02:00:00:00:00:02", "02:00:00:00:aa:02"], "learning": false, "flood": false,
		"mcast_flood": false, "bcast_flood": false, "sticky": true, "fdb_max": 9,
		"hairpin": true, "hook": "xdp", "state": "up", "ip": ["10.0.0.2", "10.1.0.0/16", "fd00::/64"],
		"dhcp_server": false, "ra": true, "policy_in": "deny", "policy_out": "deny", "conn_max": 100}'
	json "... takes them" "$all" port show dev v2
	must x port del dev v2
	check "port add, another order" silently x port add lan dev v2 conn-max 100 policy-out deny policy-in deny \
		ra on dhcp-server off ip 10.0.0.2,10.1.0.0/16,fd00::/64 hook xdp hairpin on fdb-max 9 sticky on \
		bcast-flood off mcast-flood off flood off learning off \
		mac 02:00:00:00:00:02,02:00:00:00:AA:02 group 7 isolated on native 20 trunk 10,20,100-103
	json "... is the same" "$all" port show dev v2
	check "port set, all to their defaults" silently x port set dev v2 hook auto hairpin off fdb-max 0 \
		sticky off bcast-flood on mcast-flood on flood on learning on mac any group 0 isolated off \
		native none ip any dhcp-server on ra on policy-in allow policy-out allow conn-max 0
	check "trunk none" silently x port set dev v2 trunk none
	equal "... is a new port" "$(x -j port show dev v2 | jq -c '.[0] | del(.dev)')" \
		"$(x -j port show dev v1 | jq -c '.[0] | del(.dev)')"
	check "vlan on a port" silently x port set dev v2 vlan 30 group 3 fdb-max 4 mac 02:00:00:00:00:02
	check "trunk replaces vlan" silently x port set dev v2 trunk 5-7
	json "..." '.[0] | .vlan == null and .trunk == [5, 6, 7] and .native == null' port show dev v2
	check "native on a trunk" silently x port set dev v2 native 9
	json "... may be outside the list" '.[0] | .trunk == [5, 6, 7] and .native == 9' port show dev v2
	check "a new list keeps native" silently x port set dev v2 trunk 4094,1
	json "... and replaces the list" '.[0] | .trunk == [1, 4094] and .native == 9' port show dev v2
	check "vlan replaces trunk" silently x port set dev v2 vlan 30
	json "... and native" '.[0] | .vlan == 30 and .trunk == null and .native == null' port show dev v2
	must x port set dev v2 ip fd00::7/128,10.0.0.9/32,::/0 policy-in deny policy-out deny conn-max 1048576
	json "ip: a host's length is shown as it was given" \
		'.[0].ip == ["fd00::7/128", "10.0.0.9/32", "::/0"]' port show dev v2
	check "none unsets" silently x port set dev v2 vlan none group none fdb-max none mac none hook none ip none \
		policy-in none policy-out none conn-max none
	json "... each" '.[0] | .vlan == null and .group == 0 and .fdb_max == 0 and .mac == null and
		.hook == "tc" and .ip == null and .policy_in == "allow" and .policy_out == "allow" and
		.conn_max == 0' port show dev v2
	x port del dev v2
	must x port add lan dev v2
	local key
	for key in 'mac 02:00:00:00:00:02' 'ip 10.0.0.2'; do
		# shellcheck disable=SC2086
		must x port set dev v2 $key
		json "dhcp-server and ra are off by default with ${key% *}" \
			'.[0] | [.dhcp_server, .ra] == [false, false]' port show dev v2
		check "text: ... and shown" grep -q ' dhcp-server off ra off' <(x port show dev v2)
		must x port set dev v2 "${key% *}" any
		json "... and on without" '.[0] | [.dhcp_server, .ra] == [true, true]' port show dev v2
	done
	must x port set dev v2 ip 10.0.0.2 ra on
	json "a switch that was given stays" '.[0] | [.dhcp_server, .ra] == [false, true]' port show dev v2
	must x port set dev v2 ip any ra off
	json "... off too" '.[0] | [.dhcp_server, .ra] == [true, false]' port show dev v2
	must x port set dev nic0 policy-in deny policy-out deny conn-max 5 dhcp-server on ra on
	json "an uplink has policies and a limit" '.[0] | [.policy_in, .policy_out, .conn_max] == ["deny", "deny", 5]' \
		port show dev nic0
	must x port set dev nic0 policy-in allow policy-out allow conn-max 0
	check "a setting that is there already" silently x port set dev v2 isolated off
	for hook in xdp tc; do
		check "hook $hook" silently x port set dev v2 hook $hook
		json "... shows" ".[0].hook == \"$hook\"" port show dev v2
	done
	json "port show network" 'map(.dev) == ["nic0", "v1", "v2"]' port show network lan
	equal "port network" "$(x -j port network intern)" "[]"
	equal "port dev" "$(x -j port dev v1)" "$(x -j port show dev v1)"
	equal "port" "$(x -j port)" "$(x -j port show)"
	check "uplinks take vlan keys" silently x port set dev nic0 trunk 10-20 native 10
	json "..." '.[0] | .uplink and .native == 10' port show dev nic0
	must x port set dev nic0 trunk none
	must ip -n "$P-host" link set v2 down
	json "state down" '.[0].state == "down"' port show dev v2
	must ip -n "$P-host" link set v2 up
	check "text: a port a line" test "$(x port | wc -l)" = 3
	must x port set dev v2 isolated on trunk 5-7,9
	check "text: settings as one types them" grep -q '^v2 .*trunk 5-7,9 .*isolated on' <(x port show dev v2)
	must x port set dev v2 isolated off vlan 10
}

fdbs() {
	local a=02:00:00:00:00:0a b=02:00:00:00:00:0b
	must x port set dev v2 learning off # it may speak
	must x fdb flush
	check "fdb add" silently x fdb add 02:00:00:00:00:0A dev v1
	check "fdb add vlan" silently x fdb add $a vlan 10 dev v1
	check "fdb add at an access port" silently x fdb add $b dev v2
	json "fdb show: keys, types, order" '. == [
		{"network": "lan", "mac": "02:00:00:00:00:0a", "vlan": 0, "dev": "v1", "state": "static", "age": 0},
		{"network": "lan", "mac": "02:00:00:00:00:0a", "vlan": 10, "dev": "v1", "state": "static", "age": 0},
		{"network": "lan", "mac": "02:00:00:00:00:0b", "vlan": 10, "dev": "v2", "state": "static", "age": 0}]' \
		fdb show
	json "fdb show vlan" 'map(.mac[-2:]) == ["0a", "0b"]' fdb show vlan 10
	json "fdb show dev" 'map(.vlan) == [10]' fdb show dev v2
	json "fdb show vlan 0" 'length == 1' fdb vlan 0
	json "fdb filters in any order" 'length == 1' fdb dev v1 vlan 10 network lan
	json "fdb show of another network" '. == []' fdb show network intern
	must x port set dev v2 learning on
	must pings v1 10.0.0.200
	json "learned entries are dynamic" '.[0] | .state == "dynamic" and (.age | type) == "number" and
		.vlan == 0 and .mac == "02:00:00:00:00:c8"' fdb show dev nic0
	check "fdb flush" silently x fdb flush
	json "... keeps static ones only" 'length == 3 and all(.[]; .state == "static")' fdb show
	before=$(state)
	bad 1 $a fdb del $a
	check "fdb del vlan" silently x fdb del $a vlan 10
	check "fdb del" silently x fdb del $a network lan
	json "... deletes" 'map(select(.state == "static") | .mac[-2:]) == ["0b"]' fdb show
	check "fdb flush by network, dev, vlan" silently x fdb flush vlan 10 dev v2 network lan
	json "... keeps static ones" 'length == 1' fdb show
	must x port set dev v2 mac 02:00:00:00:00:0c
	json "mac makes static entries in the port's VLAN" 'any(.[]; .mac == "02:00:00:00:00:0c" and
		.vlan == 10 and .dev == "v2" and .state == "static")' fdb show
	must x port set dev v2 mac any
	json "mac any takes them away" 'length == 1' fdb show
	check "text: a table" grep -qE '^NETWORK +MAC +VLAN +DEV +STATE +AGE' <(x fdb)
}

counters() {
	must pings v1 10.0.0.200
	json "stats show: keys and types" 'length == 3 and all(.[];
		(["dev", "network", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "drops"] - keys == []) and
		(.rx_packets | type) == "number" and (.drops | length) > 0 and
		all(.drops[]; type == "number"))' stats show
	json "stats counts" '.[0] | .dev == "v1" and .rx_packets >= 3 and .tx_bytes >= 180' stats dev v1
	equal "stats dev" "$(x -j stats dev v2 | jq -c 'map(.dev)')" '["v2"]'
	json "stats reasons: keys and types" 'length > 5 and all(.[]; keys == ["help", "reason"] and
		(.reason | test("^[a-z][a-z0-9_]*$")) and (.help | length) > 5)' stats reasons
	equal "... are those of stats" "$(x -j stats dev v1 | jq -c '.[0] | .drops + (.notes // {}) | keys')" \
		"$(x -j stats reasons | jq -c 'map(.reason) | sort')"
	must x stats reset dev v2
	check "stats reset dev" silently x stats reset dev v1
	json "... starts from zero" '.[0] | .rx_packets + .rx_bytes + .tx_packets + .tx_bytes == 0' \
		stats show dev v1
	json "... there only" '.[0].tx_packets > 0' stats show dev nic0
	check "stats reset" silently x stats reset
	json "... everywhere" 'all(.[]; .rx_packets + .tx_packets == 0)' stats
	json "status: keys and types" '(["version", "kernel", "pins", "features", "ports", "maps"] - keys == []) and
		([.version, .kernel, .pins | type] | unique) == ["string"] and
		(.features | length) > 0 and all(.features[]; type == "boolean") and
		(.ports | length) == 3 and all(.ports[]; ["dev", "hook", "mode"] - keys == [] and
			(.hook | IN("xdp", "tc", "xdp+tc")) and (.mode | IN("native", "generic", "tcx", "clsact"))) and
		(.maps | length) > 0 and all(.maps[]; keys == ["max", "name", "used"] and .used <= .max and
			(.name | type) == "string")' status
	equal "status: kernel" "$(x -j status | jq -r .kernel)" "$(uname -r)"
	equal "status: version" "xdpctl $(x -j status | jq -r .version)" "$(x -V)"
	equal "status: pins" "$(x -j status | jq -r .pins)" "$(pins host)"
	check "... are a directory there" test -d "$(pins host)"
	json "status: fill levels" '(.maps | map({(.name): .used}) | add) | .ports == 3 and .networks == 2 and
		.fdb >= 1' status
	check "text: stats" grep -q '^nic0 ' <(x stats)
	check "text: status" grep -q "$(uname -r)" <(x status)
}

# ---- output and batches ----

output() {
	check "-p indents" test "$(x -j -p network | wc -l)" -gt 10
	equal "-p is the same JSON" "$(x -j -p network | jq -c .)" "$(x -j network | jq -c .)"
	equal "-j is one line" "$(x -j port | wc -l)" 1
	equal "-j of a change prints nothing" "$(x -j port set dev v1 isolated off 2>&1)" ""
	json_error "-j errors: EEXIST" 1 EEXIST 'lan' network add lan mode bridge
	json_error "-j errors: ENOENT" 1 ENOENT 'nope' network show nope
	json_error "-j errors: ENODEV" 1 ENODEV 'nope' port add lan dev nope
	json_error "-j errors: EBUSY" 1 EBUSY 'v1' network del lan
	json_error "-j errors: usage" 2 EINVAL '4095' port set dev v1 vlan 4095
	json_error "-j errors: a quote in the value" 2 EINVAL 'a"b' port set dev v1 vlan 'a"b'
	json_error "-j errors: a line break in the value" 2 EINVAL $'1\n2' port set dev v1 vlan $'1\n2'
}

# json_error NAME STATUS CODE TEXT ARG...
json_error() {
	local name=$1 wanted=$2 code=$3 text=$4
	shift 4
	if exits "$wanted" x -j "$@" >/dev/null && [ ! -s "$T/out" ] && [ "$(wc -l <"$T/err")" = 1 ] &&
		jq -e --arg c "$code" --arg t "$text" \
			'keys == ["code", "error"] and .code == $c and (.error | contains($t))' "$T/err" >/dev/null; then
		ok "$name"
	else
		not_ok "$name" "$(cat "$T/out" "$T/err")"
	fi
}

batches() {
	batch '# a comment\n\n  network add b1 mode internal   # another\n\tnetwork\tadd b2 mode internal\n'
	check "-b: comments, blanks, tabs" silently x -b "$T/batch"
	json "... done" 'map(.name) == ["lan", "intern", "b1", "b2"]' network show
	batch 'network del b1\nnetwork del b1\nnetwork del b2\n'
	refused "-b stops at the first error, with its line" 1 'line 2' -b "$T/batch"
	json "... where it was" 'map(.name) == ["lan", "intern", "b2"]' network show
	batch '\n\nnetwork add b1 mode nat\nnetwork del b2'
	refused "-b: a usage error" 2 'line 3' -b "$T/batch"
	batch 'network del b1\n# x\nnetwork del b2\nfoo\nnetwork add b3 mode internal'
	check "--force goes on, exit 1" exits 1 x -b "$T/batch" --force
	equal "... tells each line" "$(grep -oE 'line [0-9]+' "$T/err" | tr '\n' ,)" 'line 1,line 4,'
	json "... all others are done, the last without a line break" 'map(.name) == ["lan", "intern", "b3"]' network
	check "--force without an error" silently x --force -b <(echo network del b3)
	equal "-b - reads stdin" "$(echo 'network show lan' | x -j -b - | jq -c '.[0][0].name')" '"lan"'
	equal "-j -b is one document" "$(printf 'network\nport show dev v1\n' | x -j -b - | jq -c 'map(length)')" '[2,1]'
	equal "-j -b of nothing" "$(x -j -b /dev/null)" "[]"
	check "-j -b: errors have the line" test "$(printf '\nfoo\n' | x -j -b - 2>&1 >"$T/out" |
		jq -r '.error | test("line 2.*foo")')" = true
	equal "... and stdout is a document" "$(jq -c . "$T/out")" "[]"
	check "-b: an empty file" silently x -b /dev/null
	batch '-j network show\n'
	refused "-b: no options in a line" 2 '-j' -b "$T/batch"
	equal "-b: CRLF" "$(printf 'network show intern\r\n' | x -j -b - | jq length)" 1
	batch "port show $(printf ' x%.0s' {1..200})\n"
	refused "-b: a line of too many words" 2 'line 1' -b "$T/batch"
	equal "-b: many lines" "$(for i in {1..300}; do echo "fdb add 06:00:00:00:$((i / 99 + 10)):$((i % 90 + 10)) dev v1 # $i"; done |
		sort -uk3,3 | x -b - 2>&1)" ""
	json "..." 'map(select(.mac[:2] == "06")) | length > 200' fdb show dev v1
	must x port del dev v1
	must x port add lan dev v1
}

# ---- what is refused ----

bad_words() {
	local object
	for object in foo net networks NETWORK Nat ''; do bad 2 "\"$object\"" "$object"; done
	for object in network port fdb acl flow stats status detach; do bad 2 'shw' "$object" shw; done
	bad 2 'add' status add
	bad 2 'now' detach now
	bad 2 'show' detach show
	bad 2 'extra' status show extra
	bad 2 'network' network add
	bad 2 'network' network del
	bad 2 'network' network set
	bad 2 'network' port add
	bad 2 'dev' port add lan
	bad 2 'dev' port set
	bad 2 'dev' port del
	bad 2 'v3' port add lan v3
	bad 2 'dev' port add lan dev
	bad 2 'v1' port del v1
	bad 2 'v2' port del dev v1 v2
	bad 2 'extra' port show extra
	bad 2 'dev' port show dev
	bad 2 'a/b' port show dev a/b
	bad 2 'lan' port show dev v1 network lan
	bad 2 'b' network show lan b
	bad 2 'now' network del lan now
	bad 2 'set' port set dev v1
	bad 2 'set' network set lan
	bad 2 'vlan' port set dev v1 vlan
	bad 2 'extra' port set dev v1 vlan 5 extra
	bad 2 'reason' stats reason
	bad 2 'x' stats reasons x
	bad 2 'dev' stats dev
	bad 2 'v1' stats reset v1
}

bad_networks() {
	local name
	for name in '' . .. -x a/b 'a b' 'ä' 'a*' "$(printf 'n%.0s' {1..32})"; do
		bad 2 "\"$name\"" network add "$name" mode internal
	done
	bad 2 'mode' network add n2
	bad 2 'foo' network add n2 mode foo
	bad 2 'uplink' network add n2 mode nat
	bad 2 'routed' network add n2 mode routed uplink v3 subnet 10.1.0.0/24
	bad 2 'subnet' network add n2 mode hostonly
	bad 2 'subnet' network add n2 mode bridge subnet 10.1.0.0/24
	bad 2 'gateway' network add n2 mode bridge gateway 10.1.0.1
	bad 2 'subnet6' network add n2 subnet6 fd00::/64 mode bridge
	bad 1 'filtering' network set lan filtering endpoint-independent
	bad 2 'v3' network add n2 mode internal uplink v3
	bad 2 'mode' network add n2 mode bridge mode bridge
	bad 2 'ageing' network add n2 mode bridge ageing 30s ageing 30s
	bad 2 'mode' network set lan mode internal
	bad 2 'name' network set lan name wan
	for name in 0s 30 5d -5s 1.5h 9999999h '5 m' '' s 99999999999999999999s 5M; do
		bad 2 "\"$name\"" network set lan ageing "$name"
	done
	for name in -1 x 1.5 0x10 1048577 18446744073709551617 ''; do
		bad 2 "\"$name\"" network add n2 mode bridge fdb-max "$name"
	done
	for name in '' aaaaaaaaaaaaaaaa a/b 'a b' a:b . ..; do
		bad 2 "\"$name\"" network set lan uplink "$name"
	done
	bad 1 'lan' network add lan mode internal
	bad 1 'nope' network add n2 mode bridge uplink nope
	bad 1 'v1' network add n2 mode bridge uplink v1
	bad 1 'nic0' network add n2 mode bridge uplink nic0
	bad 1 'lo' network add n2 mode bridge uplink lo
	bad 1 'nope' network set lan uplink nope
	bad 1 'v1' network set lan uplink v1
	bad 1 'lo' network set lan uplink lo ageing 77s
	bad 1 'v3' network set intern uplink v3
	bad 1 'nope' network set nope ageing 30s
	bad 1 'nope' network del nope
	bad 1 'lan' network del lan
	bad 1 'nope' network show nope
}

bad_ports() {
	local value key m=02:00:00:00:00:01
	for value in 0 4095 -1 x 1.5 0x10 10,20 10-20 '' ' 5' 99999999999999999999 +5; do
		bad 2 "\"$value\"" port add lan dev v3 vlan "$value"
	done
	for value in 0 4095 10-5 10- -5 10,,20 ,10 '10,' a '10 20' 5-4095 0-5 1-2-3 '' any all; do
		bad 2 "\"$value\"" port set dev v1 trunk "$value"
	done
	bad 2 '"0"' port set dev v1 trunk 10 native 0
	bad 2 'x' port set dev v1 native x
	bad 2 '4095' port set dev v1 native 4095
	for key in isolated learning flood mcast-flood bcast-flood sticky hairpin dhcp-server ra; do
		bad 2 'maybe' port set dev v1 "$key" maybe
		bad 2 'none' port add lan dev v3 "$key" none
		bad 2 "$key" port add lan dev v3 "$key"
	done
	for value in yes 1 ON '' true; do bad 2 "\"$value\"" port set dev v1 isolated "$value"; done
	for value in 256 -1 x '' 1,2; do bad 2 "\"$value\"" port set dev v1 group "$value"; done
	for value in foo 01:00:5e:00:00:01 ff:ff:ff:ff:ff:ff 00:00:00:00:00:00 52:54:00:12:34 \
		52:54:00:12:34:567 52:54:00:12:34:5g 52-54-00-12-34-56 525400123456 5:4:0:1:2:3 ''; do
		bad 2 "\"$value\"" port set dev v1 mac "$value"
	done
	bad 2 mac port set dev v1 mac "$m,"
	bad 2 "$m" port set dev v1 mac "$m,$m"
	bad 2 'bad' port set dev v1 mac "$m,bad"
	bad 2 '02:00:00:00:01:17' port set dev v1 mac "$(printf '02:00:00:00:01:%02d,' {1..16})02:00:00:00:01:17"
	for value in 10.0.0.256 10.0.0 foo 10.0.0.1/33 10.0.0.1/x fd00::/129 fd00::1::2 fe80::1%eth0 ''; do
		bad 2 "\"$value\"" port set dev v1 ip "$value"
	done
	bad 2 '10.0.0.0/24' port set dev v1 ip 10.0.0.5/24
	bad 2 'fd00::/64' port add lan dev v3 ip fd00::5/64
	bad 2 '""' port set dev v1 ip 10.0.0.5,
	bad 2 '10.0.0.5/32' port set dev v1 ip 10.0.0.5,10.0.0.5/32
	bad 2 'any' port set dev v1 ip 10.0.0.5,any
	bad 2 '16' port set dev v1 ip "$(printf '10.0.0.%d,' {1..16})10.0.0.17"
	for key in policy-in policy-out; do
		for value in on reject ALLOW ''; do bad 2 "\"$value\"" port set dev v1 $key "$value"; done
	done
	for value in -1 1048577 x '' 5k; do bad 2 "\"$value\"" port set dev v1 conn-max "$value"; done
	for value in -1 1048577 x '' 5k; do bad 2 "\"$value\"" port set dev v1 fdb-max "$value"; done
	for value in XDP native xdp,tc generic ''; do bad 2 "\"$value\"" port set dev v1 hook "$value"; done
	bad 2 'vlan' port set dev v1 vlan 10 vlan 10
	bad 2 'isolated' port set dev v1 isolated on isolated off
	bad 2 '10' port add lan dev v3 vlan 10 trunk 20
	bad 2 '10' port add lan dev v3 trunk 20 vlan 10
	bad 2 '5' port add lan dev v3 vlan 10 native 5
	bad 2 '5' port add lan dev v3 native 5
	bad 2 '5' port set dev v1 trunk none native 5
	bad 1 '5' port set dev v1 native 5
	for key in 'rate-in 10mbit' 'rate-out 10mbit' 'burst-in 64kb' 'pps-in 100pps' 'pps-out 100pps' 'storm 100pps' \
		'network intern' 'dev v3' 'Vlan 10' 'mcast_flood on' 'foo 1'; do
		# shellcheck disable=SC2086
		bad 2 "\"${key% *}\"" port add lan dev v3 $key
		# shellcheck disable=SC2086
		bad 2 "\"${key% *}\"" port set dev v1 vlan 9 $key
	done
	bad 1 'v1' port add lan dev v1
	bad 1 'v1' port add intern dev v1
	bad 1 'nic0' port add intern dev nic0
	bad 1 'nope' port add lan dev nope
	bad 1 'nope' port add nope dev v3
	bad 1 'lo' port add lan dev lo
	bad 1 'br0' port add lan dev slave0
	bad 2 'aaaaaaaaaaaaaaaa' port add lan dev aaaaaaaaaaaaaaaa
	bad 2 '""' port add lan dev ''
	bad 1 'nope' port set dev nope vlan 10
	bad 1 'nope' port del dev nope
	bad 1 'nope' port show dev nope
	bad 1 'nope' port show network nope
	bad 1 'nic0' port del dev nic0
	bad 1 'nic0' port set dev nic0 isolated on
	for key in 'ip 10.0.0.1' 'dhcp-server off' 'ra off'; do
		# shellcheck disable=SC2086
		bad 1 "${key% *}" port set dev nic0 $key
	done
	bad 1 '02:00:00:00:00:0d' port set dev v1 vlan 10 mac 02:00:00:00:00:0e,02:00:00:00:00:0d
	bad 2 'xxxxxxxxxxxxxxxx' port set dev v1 vlan "$(printf 'x%.0s' {1..3000})"
	bad 2 '1' port set dev v1 vlan $'1\n2'
}

bad_fdb() {
	local m=02:00:00:00:00:77
	bad 2 'LLADDR' fdb add
	bad 2 'LLADDR' fdb del
	bad 2 'foo' fdb add foo dev v1
	bad 2 'ff:ff' fdb add ff:ff:ff:ff:ff:ff dev v1
	bad 2 '33:33' fdb add 33:33:00:00:00:01 dev v1
	bad 2 'dev' fdb add $m
	bad 2 'network' fdb add $m network lan dev v1
	bad 2 '4095' fdb add $m dev v1 vlan 4095
	bad 2 'x' fdb add $m dev v1 vlan x
	bad 2 'vlan' fdb add $m dev v1 vlan
	bad 2 'vlan' fdb add $m dev v1 vlan 5 vlan 6
	bad 2 'dev' fdb add $m dev v1 dev v2
	bad 2 'dev' fdb del $m dev v1
	bad 1 'nope' fdb add $m dev nope
	bad 1 '20' fdb add $m dev v2 vlan 20
	bad 1 '02:00:00:00:00:0b' fdb add 02:00:00:00:00:0b dev v2
	bad 1 '02:00:00:00:00:0b' fdb add 02:00:00:00:00:0b dev v1 vlan 10
	bad 1 $m fdb del $m
	bad 1 '02:00:00:00:00:0b' fdb del 02:00:00:00:00:0b vlan 11
	bad 1 'nope' fdb del 02:00:00:00:00:0b network nope
	bad 2 'foo' fdb del foo
	bad 1 'nope' fdb flush network nope
	bad 1 'nope' fdb flush dev nope
	bad 2 '5000' fdb flush vlan 5000
	bad 2 'all' fdb flush all
	bad 1 'nope' fdb show network nope
	bad 1 'nope' fdb show dev nope
	bad 2 'x' fdb show vlan x
	bad 2 'foo' fdb show foo
	bad 2 'mac' fdb show mac $m
	bad 1 'nope' stats show dev nope
	bad 1 'nope' stats dev nope
	bad 1 'nope' stats reset dev nope
}

# A trunk without native VLAN needs to be told which.
trunk_fdb() {
	must x port add lan dev v3 trunk 5-7
	before=$(state)
	bad 1 'v3' fdb add 02:00:00:00:00:77 dev v3
	bad 1 '8' fdb add 02:00:00:00:00:77 dev v3 vlan 8
	check "fdb add at a trunk" silently x fdb add 02:00:00:00:00:77 dev v3 vlan 6
	must x port del dev v3
	json "port del takes its static entries along" 'all(.[]; .dev != "v3")' fdb show
}

# Devices and networks may be called as commands are.
strange_names() {
	must ip -n "$P-host" link add name help type veth peer name help1
	must x port add lan dev help
	check "a device called help" prints "help" x stats dev help
	must x port del dev help
	must ip -n "$P-host" link set dev help name none
	check "a device called none" silently x port add lan dev none
	json "..." 'map(.dev) == ["none"]' port show dev none
	must x port del dev none
	must ip -n "$P-host" link del dev none
	must x network add show mode internal
	json "a network called show" 'map(.name) == ["show"]' network show show
	must x network del show
}

run_all() {
	local before loaded
	topology
	must ip -n "$P-host" link add br0 type bridge
	must ip -n "$P-host" link add slave0 type veth peer name slave1
	must ip -n "$P-host" link set slave0 master br0
	helps
	options
	empty
	networks
	ports
	before=$(state)
	fdbs
	counters
	output
	batches
	must x port set dev v2 mac 02:00:00:00:00:0d
	must x fdb flush
	before=$(state)
	loaded=$(programs)
	bad_words
	bad_networks
	bad_ports
	bad_fdb
	equal "what was refused changed no program" "$(programs)" "$loaded"
	trunk_fdb
	strange_names
	check "what was there works still" pings v1 10.0.0.200
	check "detach" silently x detach
	check_not "... removes the pins" test -e "$(pins host)"
	down
}

run_all
if sanitized; then
	run_all
	unreported
fi
finish

#!/bin/bash
# flow_cli.sh - xdpctl flow: what it shows, counts and flushes of tables that a helper fills, its
# words, the tables' making, and that flows go with their port or network. Runs with the binary
# under test and with its sanitized build.
#
#     v1 v2 v3 and nic0 as in lib.sh; flows are between v1 and v2, all of them made up

# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=selftests/lib.sh
. "$(dirname "$0")/lib.sh"

export ASAN_OPTIONS="detect_leaks=1:log_path=$T/sanitizer:exitcode=99"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$T/sanitizer"
MANY=1000000 # flows of the large tables

# The helper, in the switch's namespace: see tests/flow_fill.c.
fill() {
	ns host "$HERE/../build/helpers/flow_fill" "$@"
}

# silently CMD...: exit 0, and nothing said.
silently() {
	local seen
	seen=$("$@" 2>&1) || { echo "exit $?: $seen" && return 1; }
	[ -z "$seen" ] || { echo "$seen" && return 1; }
}

# counts NAME COUNT HALF_OPEN [FILTER...]
counts() {
	local name=$1 all=$2 opening=$3
	shift 3
	equal "$name" "$(x -j flow count "$@" 2>&1)" "{\"count\":$all,\"half_open\":$opening,\"max\":1048576}"
}

# levels NAME FLOWS OPENING: what status says of both tables.
levels() {
	equal "$1" "$(x -j status | jq -c '[.maps[] | select(.name | startswith("flow")).used]')" "[$2,$3]"
}

# timed NAME CMD...: runs it, and remarks how long it took.
timed() {
	local name=$1 start=${EPOCHREALTIME/./}
	shift
	"$@"
	echo "# $name: $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
}

# shown COUNT, shown_as_text COUNT: rows of JSON, lines of text but the title.
shown() {
	equal "flow show of many" "$(x -j flow show | tr '{' '\n' | grep -c '"expires"')" "$1"
}

shown_as_text() {
	equal "... as text" "$(x flow show | wc -l)" $(($1 + 1))
}

# ---- without tables ----

empty() {
	equal "flow without a switch" "$(x -j flow)" "[]"
	counts "flow count without a switch" 0 0
	check "flow flush without a switch" silently x flow flush
	refused "... knows no network" 1 lan flow count network lan
	refused "... and no port" 1 v1 flow flush dev v1
	check_not "... and none of them makes one" test -e "$(pins host)"
	must x network add lan mode internal
	must x port add lan dev v1
	must x port add lan dev v2
	equal "flow show without tables" "$(x -j flow show)" "[]"
	counts "flow count without tables" 0 0
	check "flow flush without tables" silently x flow flush dev v1 proto tcp src 10.0.0.0/8
	levels "status without tables" 0 0
	check_not "... which nothing makes" test -e "$(pins host)/flow_table"
}

# ---- the tables ----

# The tables are taken away, as if none had been made.
no_tables() {
	rm -f "$(pins host)"/flow_table "$(pins host)"/flow_opening_table
	bpftool map delete pinned "$(pins host)/flows" key 0 0 0 0 2>/dev/null
	bpftool map delete pinned "$(pins host)/flows_opening" key 0 0 0 0 2>/dev/null
	return 0
}

# Kills the making of tables at each system call from the first map on; what follows completes it.
killed() {
	local helper=$HERE/../build/helpers/flow_fill call bad='' seen
	command -v strace >/dev/null || { skip "killed while it makes tables" "there is no strace" && return; }
	ASAN_OPTIONS=detect_leaks=0 ns host strace -o "$T/log" -e trace=bpf,rename "$helper" make >/dev/null
	while read -r call; do
		no_tables
		# shellcheck disable=SC2086
		(ns host strace -o /dev/null -e "trace=${call% *}" \
			-e "inject=${call% *}:signal=SIGKILL:when=${call#* }" "$helper" make; true) >/dev/null 2>&1
		seen=$(fill make | sed 's/ [0-9]* / /' &&
			cd "$(pins host)" && shopt -s nullglob && printf '%s\n' flow_*table new*)
		[ "$seen" = $'flow_table 90112\nflow_opening_table 5632\nflow_opening_table\nflow_table' ] ||
			bad+="$call: $seen; "
	done < <(awk '{ call = $0; sub(/\(.*/, "", call); n[call]++ } /BPF_MAP_CREATE/ { on = 1 }
		on && /^(bpf|rename)\(/ { print call, n[call] }' "$T/log")
	equal "killed while it makes tables, at each system call" "$bad" ""
	echo "# $(awk '/BPF_MAP_CREATE/ { on = 1 } on && /^(bpf|rename)\(/ { n++ } END { print n + 0 }' "$T/log") system calls"
}

tables() {
	local pin made
	pin=$(pins host)
	killed
	made=$(fill make) || not_ok "the tables are made" "$made"
	equal "the tables are made once" "$(fill make)" "$made"
	equal "... with their sizes" "$(awk '{ print $1, $3 }' <<<"$made")" \
		$'flow_table 90112\nflow_opening_table 5632'
	must rm "$pin/flow_table"
	equal "a lost pin is made again" "$(fill make)" "$made"
	equal "bpftool shows their places by name" \
		"$(bpftool -j map lookup pinned "$pin/flow_opening_table" key 0 0 0 0 |
			jq -c '.formatted.value | [.lock, (.flow | length), .flow[0].state]')" '[0,15,"FLOW_NONE"]'
	must x port add lan dev v3
	must x port del dev v3
	equal "they stay through other commands" "$(fill make)" "$made"
}

# ---- show, count, flush ----

FLOW='["network","dev","proto","src","sport","dst","dport","nat_addr","nat_port","state","packets","bytes",
	"age","expires","vlan"]'

few() {
	must fill fill lan v1 v2 30 5 10
	json "flow show: the keys of the contract, in order" \
		"length == 25 and all(.[]; keys_unsorted == $FLOW)" flow show
	json "flow show: types and values" 'map(select(.src == "10.0.0.10")) | .[0] |
		.age >= 100 and .age < 160 and .expires <= 1000 and .expires > 940 and del(.age, .expires) == {
		"network": "lan", "dev": "v1", "proto": "tcp", "src": "10.0.0.10", "sport": 40000,
		"dst": "192.0.2.0", "dport": 443, "nat_addr": null, "nat_port": null,
		"state": "established", "packets": 7, "bytes": 7000, "vlan": 0}' flow show
	json "src is the end that opened it" 'map(select(.dport == 22)) | length == 2 and all(.[];
		.src == "192.0.2.4" and .sport == 50000 and .dev == "v2" and .state == "fin_wait") and
		map(.dst) == ["10.0.0.14", "10.0.0.24"]' flow show
	json "ICMP: the identifier" 'map([.sport, .dport]) == [[77, null], [77, null]]' flow proto icmp
	json "IPv6, VLANs" 'map([.src, .dst, .sport, .dport, .vlan]) | sort ==
		[["fd00::11", "fd00:1::7", 78, null, 20], ["fd00::1b", "fd00:1::7", 78, null, 20]]' \
		flow show proto icmp6
	json "other protocols are numbers" 'map([.proto, .sport, .dport]) == [["47", null, null], ["47", null, null]]' \
		flow show proto 47
	json "denied flows" 'map(.proto) == ["tcp", "tcp"] and map(.state) == ["denied", "denied"]' \
		flow show dst fd00:1::8
	json "half-open ones are shown" 'map(.state) | . == ["syn_sent", "syn_sent", "syn_sent", "syn_sent", "syn_sent"]' \
		flow show src 10.0.0.0/29
	equal "show is the default" "$(x -j flow network lan dev v2 | jq -cS 'map(.src)')" \
		"$(x -j flow show dev v2 network lan | jq -cS 'map(.src)')"
	for words in "proto udp" "src 10.0.0.0/8" "dst 192.0.2.5"; do
		# shellcheck disable=SC2086
		equal "... before $words, too" "$(x -j flow $words | jq length)" \
			"$(x -j flow show $words | jq length)"
	done
	check "text: a table" grep -qE '^NETWORK +DEV +PROTO +SRC +SPORT +DST +DPORT ' <(x flow)
	check "text: a line each" test "$(x flow | wc -l)" = 26
	check "text: what a flow has not" grep -qE '^lan +v1 +47 +10.0.0.19 +- +192.0.2.9 +- ' <(x flow)
	counts "flow count leaves expired ones out" 25 5
	equal "flow count as text" "$(x flow count | tr -s ' ')" \
		$'connections 25\nhalf-open 5\nmaximum 1048576'
	equal "-p is the same JSON" "$(x -j -p flow | jq -c 'map(.src)')" "$(x -j flow | jq -c 'map(.src)')"
	printf 'flow count\nflow show proto udp\nflow flush proto udp\nflow count\n' >"$T/batch"
	equal "a batch" "$(x -j -b "$T/batch" | jq -c '[.[0].count, (.[1] | length), .[2].count]')" '[25,2,23]'
	# expired flows that were not flushed are there until the ageing timer comes by
	json "status: two live flows less, and expired ones" '[.maps[] | select(.name | startswith("flow")).used] |
		.[0] >= 18 and .[0] <= 28 and .[1] == 5' status
}

filters() {
	must fill fill lan v1 v2 30 5 10
	must x network add other mode internal
	must x port add other dev v3
	counts "by network" 25 5 network lan
	counts "... another" 0 0 network other
	counts "by dev: the opening end" 25 5 dev v1
	counts "... the other end" 25 5 dev v2
	counts "... neither" 0 0 dev v3
	counts "by proto" 17 5 proto tcp
	counts "... a number" 17 5 proto 6
	counts "... without any" 0 0 proto sctp
	counts "by src" 5 0 src 10.0.0.8/29
	counts "... a host" 1 0 src 10.0.0.15
	counts "... is the end that opened" 2 0 src 192.0.2.4
	counts "by dst" 19 5 dst 192.0.2.0/24
	counts "... is the other end" 2 0 dst 10.0.0.0/8
	counts "by src and dst" 2 0 src 10.0.0.16/28 dst 192.0.2.2/31
	counts "any IPv4" 21 5 src 0.0.0.0/0
	counts "any IPv6" 4 0 src ::/0
	counts "all filters" 2 0 network lan dev v1 proto icmp src 10.0.0.0/8 dst 192.0.2.6
	counts "in another order" 2 0 dst 192.0.2.6 proto icmp dev v1 src 10.0.0.0/8 network lan
}

words() {
	local before
	before=$(x -j flow count)
	refused "unknown network" 1 nowhere flow show network nowhere
	refused "unknown port" 1 nic0 flow show dev nic0
	refused "bad network name" 2 a/b flow count network a/b
	refused "bad device name" 2 a/b flow count dev a/b
	refused "unknown protocol" 2 tcpp flow show proto tcpp
	refused "protocol out of range" 2 256 flow flush proto 256
	refused "negative protocol" 2 -1 flow flush proto -1
	refused "bad src" 2 10.0.0 flow flush src 10.0.0
	refused "bits behind the length" 2 10.0.0.1/24 flow flush dst 10.0.0.1/24
	refused "length out of range" 2 fd00::/129 flow flush dst fd00::/129
	refused "families that do not meet" 2 families flow flush src 10.0.0.0/8 dst fd00::/16
	refused "unknown word" 2 sport flow show sport 5
	refused "a word too many" 2 x flow flush proto tcp x
	refused "a filter given twice" 2 proto flow flush proto tcp proto udp
	refused "... src" 2 src flow flush src 10.0.0.1 src 10.0.0.2
	for key in network dev proto src dst; do
		refused "$key without a value" 2 "$key" flow flush $key
		refused "$key with an empty value" 2 '""' flow flush $key ""
	done
	refused "unknown command" 2 reset flow reset
	refused "flow add is not there" 2 add flow add
	equal "... and nothing was flushed" "$(x -j flow count)" "$before"
	check "flow help" grep -q 'xdpctl flow flush' <(x flow help)
}

# ---- many ----

many() {
	local tenth=$((MANY / 10)) live=$((MANY - 1000 + 50000))
	must fill fill lan v1 v2 $MANY 50000 1000
	timed "count of $MANY" counts "flow count of many" $live 50000
	timed "... by proto" counts "... by proto" $((tenth - 100)) 0 proto udp
	# six of ten kinds, of the addresses from the 1,000th on
	timed "... by src and dst" counts "... by src and dst" $((52328 * 6 + 6 + 50000)) 50000 \
		src 10.0.0.0/13 dst 192.0.2.0/29
	timed "show of $MANY" shown $live
	timed "... as text" shown_as_text $live
	timed "flush of $tenth among $MANY" check "flow flush proto" silently x flow flush proto udp
	counts "... flushes it all" 0 0 proto udp
	counts "... and nothing else" $((live - tenth + 100)) 50000
	# the timer has freed what is over, 900 flows, or not yet
	json "... and is counted at the port" "[.maps[] | select(.name | startswith(\"flow\")).used] |
		.[0] >= $((MANY - tenth - 900)) and .[0] <= $((MANY - tenth)) and .[1] == 50000" status
	check "flow flush of half-open ones" silently x flow flush src 10.0.0.0/16 dst 192.0.2.0
	counts "... of both tables" 0 0 src 10.0.0.0/16 dst 192.0.2.0
	must fill fill lan v1 v2 $MANY 50000 1000
	timed "flush of $MANY" check "flow flush" silently x flow flush
	counts "... flushes all" 0 0
	levels "... and counts right" 0 0
}

locked() {
	must fill fill lan v1 v2 20000 6000 0
	must fill lock 1
	refused "a lock that stays held: an error, not a wait" 1 busy flow flush
	counts "... for the flows below it alone" 2 1
	must fill lock 0
	check "... flow flush again" silently x flow flush
	counts "... flushes them" 0 0
}

# ---- ports and networks that go ----

leaving() {
	must fill fill lan v1 v2 1000 500 0
	must x port del dev v3
	counts "another port's end leaves all flows" 1500 500
	must x port del dev v2
	counts "a port's end is its flows' end, at the other end, too" 0 0
	levels "... also for the counters" 0 0
	must x port add lan dev v2
	levels "a new port has none" 0 0
	must x network add wan mode bridge uplink nic0
	must fill fill wan nic0 nic0 1000 500 0
	must x network del other
	counts "another network's end leaves all flows" 1500 500
	must x network del wan
	counts "a network's end is its flows' end" 0 0
	must fill fill lan v1 v2 1000 500 0
	check "detach" silently x detach
	check_not "... leaves no pin" test -e "$(pins host)"
}

all() {
	topology
	empty
	tables
	few
	filters
	words
	[ -n "$1" ] || many
	locked
	leaving
	equal "nothing for the sanitizers" "$(cat "$T"/sanitizer* 2>/dev/null)" ""
	down
}

all ''
XDPCTL=$HERE/../build/sanitized/xdpctl LABEL='sanitized: '
all sanitized
finish

#!/bin/bash
# acl_cli.sh - xdpctl acl: words and their output, what is refused, files of rules, counters that
# stay with their rules, lists that are whole when commands are killed or run side by side, the
# log, and that lists go with their port or network. Runs with the binary under test and with
# its sanitized build.
#
#     v1 v2 v3 and nic0 as in lib.sh; lan has v1, v2 and the wire, intern has v3

# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=selftests/lib.sh
. "$(dirname "$0")/lib.sh"

export ASAN_OPTIONS="detect_leaks=1:log_path=$T/sanitizer:exitcode=99"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$T/sanitizer"
SECONDS_EACH=${CRASH_BUDGET:-5} # that a command is killed again and again

# ---- looking at the kernel ----

# Numbers of four octets, as `bpftool -j` prints values: decimal ones, a line each.
values() {
	local n
	tr '}' '\n' | sed -nE 's/.*"value":\["0x(..)","0x(..)","0x(..)","0x(..)"\].*/0x\4\3\2\1/p' |
		while read -r n; do echo $((n)); done
}

# inner MAP PLACE: the id of the map at a place of a map of maps, or nothing.
inner() {
	bpftool -j map lookup pinned "$(pins host)/$1" key $(($2 & 255)) $(($2 >> 8)) 0 0 2>/dev/null | values
}

port_id() {
	bpftool map dump pinned "$(pins host)/port_info" | jq --arg d "$1" '.[] | select(.value.dev == $d).key'
}

# port_list DEV 0|1: the id of a port's list (0: in).
port_list() {
	inner acl_lists $(($(port_id "$1") * 2 + $2))
}

# numbers DEV 0|1: PRIO:COUNTER of each rule of a list that was not changed in its place.
numbers() {
	local id
	id=$(port_list "$1" "$2")
	[ -z "$id" ] || bpftool map dump id "$id" |
		jq -r '(.[0].value.src[0] % 4294967296) as $n | .[1:$n + 1][].value | "\(.prio):\(.counter)"'
}

# port DEV FILTER: of what the data path reads of it.
port() {
	local id
	id=$(port_id "$1")
	bpftool map lookup pinned "$(pins host)/ports" key $((id & 255)) $((id >> 8)) 0 0 |
		sed -E 's/0x([0-9a-f]+)/"\1"/' | jq -c "$2"
}

# policy DEV: the bits of a port's policy that lists make.
policy() {
	port "$1" '.value.policy[""] | [.list_in, .list_out, .net_list_in, .net_list_out, .track] | map(tonumber)'
}

# generation DEV: what judges the port, as a number.
generation() {
	port "$1" .value.judged
}

# ids: of all maps of lists and counters that the host's data plane has.
ids() {
	bpftool -j map dump pinned "$(pins host)/acl_lists" | values
	bpftool -j map dump pinned "$(pins host)/acl_counters" | values
}

# gone ID...: no such map exists.
gone() {
	local id
	for id; do
		! bpftool map show id "$id" >/dev/null 2>&1 || { echo "map $id is there" && return 1; }
	done
}

# used: how many counters are in use, as status says.
used() {
	x -j status | jq '.maps[] | select(.name == "acl_rules").used'
}

# ---- commands ----

# What a refused command must not change: rules, their maps (a short list is never changed in one), and
# what the data path reads of a port.
state() {
	x -j acl 2>&1 | jq -cS 'map(del(.packets, .bytes))'
	ids
	used
	port v1 '.value | [.policy, .judged]'
}

# bad STATUS TEXT ARG...: refused, in one line with TEXT, and nothing changes (quick: looked at later).
bad() {
	local status=$1 text=$2 seen name
	shift 2
	name=$(printf ' %.60q' "$@")
	refused "refused ($status):$name" "$status" "$text" "$@"
	[ -z "$quick" ] || return
	seen=$(state)
	if [ "$seen" != "$before" ]; then
		not_ok "changes nothing:$name" "$(diff <(echo "$before") <(echo "$seen"))"
		before=$seen
	fi
}

# bad_file TEXT LINES: a file that is refused; TEXT is in the message. LINES as for printf %b.
bad_file() {
	printf '%b' "$2" >"$T/rules"
	bad 2 "$1" acl load dev v1 in "$T/rules"
}

# silently CMD...: exit 0, and nothing said.
silently() {
	local seen
	seen=$("$@" 2>&1) || { echo "exit $?: $seen" && return 1; }
	[ -z "$seen" ] || { echo "$seen" && return 1; }
}

# prints TEXT CMD...: exit 0, TEXT in what it says.
prints() {
	local text=$1 seen
	shift
	if seen=$("$@" 2>&1) && grep -qF -- "$text" <<<"$seen"; then return; fi
	echo "$seen"
	return 1
}

# adds WORDS: a rule that comes back in the words in which it was given.
adds() {
	# shellcheck disable=SC2086
	check "acl add $1" silently x acl add dev v2 in $1
	equal "... is shown so" "$(x acl show dev v2 in | sed -n '2s/  # packets .*//p')" "prio 10 ${2-$1}"
	must x acl del dev v2 in all
}

# load TEXT [ON [DIRECTION]]: from standard input.
load() {
	# shellcheck disable=SC2086
	printf '%b' "$1" | x acl load ${2-dev v1} "${3-in}" -
}

# ---- without a switch ----

empty() {
	local command
	for command in show add del load log; do
		check "acl $command help" prints "Usage: xdpctl acl $command" x acl "$command" help
		check "acl help lists $command" prints "xdpctl acl $command" x acl help
	done
	equal "acl without a switch" "$(x -j acl)" "[]"
	equal "... as text" "$(x acl show)" ""
	refused "acl add without a switch" 1 'v1' acl add dev v1 in allow
	refused "acl del without a switch" 1 'lan' acl del network lan out all
	refused "acl load without a switch" 1 'v1' acl load dev v1 in /dev/null
	refused "acl show of a port without a switch" 1 'v1' acl show dev v1
	refused "acl log without a switch" 1 'network' acl log
	check_not "... and none of them makes one" test -e "$(pins host)"
}

# ---- words and output ----

words() {
	check "acl add to a port" silently x acl add dev v1 in proto tcp dport 80 allow
	json "acl show: keys, types, values" '. == [{"on": "dev v1", "direction": "in", "prio": 10,
		"match": {"proto": "tcp", "dport": "80"}, "action": "allow", "log": false,
		"packets": 0, "bytes": 0}]' acl show
	check "without prio a rule goes last" silently x acl add dev v1 in deny log
	check "prio" silently x acl add dev v1 in dport 1-2 prio 15 proto 17 src 10.0.0.9/24 reject
	json "rules are sorted" 'map(.prio) == [10, 15, 20]' acl show
	json "values are as one types them" '.[1].match == {"proto": "udp", "src": "10.0.0.0/24", "dport": "1-2"} and
		.[1].action == "reject" and .[2].log == true and .[2].match == {}' acl show
	check "a list of a network" silently x acl add network lan out src-mac "$(mac 1)" vlan 0 ethertype 2054 deny
	json "... has its name" '.[3] == {"on": "network lan", "direction": "out", "prio": 10, "match":
		{"src_mac": "02:00:00:00:00:01", "ethertype": "0x0806", "vlan": "0"}, "action": "deny", "log": false,
		"packets": 0, "bytes": 0}' acl show
	check "a list of an uplink" silently x acl add dev nic0 out proto icmp6 icmp-type 134 deny
	json "acl show dev" 'map(.prio) == [10, 15, 20]' acl show dev v1
	json "acl show dev in" 'length == 3' acl show dev v1 in
	json "acl show dev out" '. == []' acl show dev v1 out
	json "acl show network" 'map(.on) == ["network lan"]' acl show network lan
	json "acl show in" 'map(.on) | unique == ["dev v1"]' acl show in
	json "acl show out" 'map(.on) == ["dev nic0", "network lan"]' acl show out
	equal "acl is acl show" "$(x -j acl)" "$(x -j acl show)"
	equal "acl dev" "$(x -j acl dev v1 in)" "$(x -j acl show dev v1 in)"
	equal "acl in" "$(x -j acl in)" "$(x -j acl show in)"
	equal "text: a list's title, then its rules" "$(x acl show dev v1 | sed 's/  # packets 0 bytes 0$//')" \
		"# dev v1 in: 3 rules
prio 10 proto tcp dport 80 allow
prio 15 proto udp src 10.0.0.0/24 dport 1-2 reject
prio 20 deny log"
	x acl show dev v1 in >"$T/rules"
	check "... is a file of rules" silently x acl load dev v1 out "$T/rules"
	equal "... the same rules" "$(x -j acl show dev v1 out | jq 'map(del(.direction))')" \
		"$(x -j acl show dev v1 in | jq 'map(del(.direction))')"
	check "-v tells the most work of a packet" prints "at most" x acl show -v dev v1
	check "... also behind" prints "at most" x acl show dev v1 in -v
	json "-v in JSON: a list each" 'length == 1 and (.[0] | .on == "dev v1" and .direction == "out" and
		(.rules | map(.prio)) == [10, 15, 20] and ([.tuples, .probes, .steps | type] | unique) == ["number"] and
		.steps >= 1)' acl show -v dev v1 out
	equal "policy: the port's lists, the network's, tracking" "$(policy v1)" "[1,1,0,1,1]"
	equal "... of another port" "$(policy v2)" "[0,0,0,1,1]"
	equal "... of the uplink, whose network's lists are not its own" "$(policy nic0)" "[0,1,0,0,1]"
	equal "status counts rules" "$(used)" 8
	check "acl del prio" silently x acl del dev v1 in prio 15
	json "... deletes" 'map(.prio) == [10, 20]' acl show dev v1 in
	check "acl del all" silently x acl del dev v1 in all
	json "... deletes" 'map(.direction) | unique == ["out"]' acl show dev v1
	check "acl del all of nothing" silently x acl del dev v1 in all
	equal "policy follows" "$(policy v1)" "[0,1,0,1,1]"
	must x acl del dev v1 out prio 10
	must x acl del dev v1 out prio 15
	check "the last rule" silently x acl del dev v1 out prio 20
	must x acl del dev nic0 out all
	must x acl del network lan out all
	equal "no list, no policy" "$(policy v1)$(policy nic0)$(x -j acl)$(used)" "[0,0,0,0,0][0,0,0,0,0][]0"
	equal "... and no map" "$(inner acl_lists $((2 * $(port_id v1))))" ""
}

every_match() {
	adds "family ip allow"
	adds "family ip6 deny log"
	adds "proto sctp reject"
	adds "proto 47 reject log"
	adds "proto 6 allow" "proto tcp allow"
	adds "proto icmp icmp-type 255 allow"
	adds "icmp-type 0 proto icmp6 allow" "proto icmp6 icmp-type 0 allow"
	adds "src 10.0.0.1 dst 10.0.0.1/32 allow"
	adds "src 0.0.0.0/0 dst 10.1.2.3/9 allow" "src 0.0.0.0/0 dst 10.0.0.0/9 allow"
	adds "src ::/0 dst FD00:0::7/127 allow" "src ::/0 dst fd00::6/127 allow"
	adds "proto tcp sport 0-65535 dport 1-1 allow" "proto tcp sport 0-65535 dport 1 allow"
	adds "proto tcp tcp-flags 0x12/2 allow" "proto tcp tcp-flags 0x12/0x02 allow"
	adds "src-mac 02:AA:00:00:00:01 dst-mac ff:ff:ff:ff:ff:ff allow" \
		"src-mac 02:aa:00:00:00:01 dst-mac ff:ff:ff:ff:ff:ff allow"
	adds "ethertype 35020 vlan 4094 allow" "ethertype 0x88cc vlan 4094 allow"
	adds "state established allow"
	adds "state related allow"
	adds "state invalid deny"
	adds "vlan 5 state new dst-mac 01:00:5e:00:00:01 src fe80::/10 proto udp dport 7 allow log" \
		"proto udp src fe80::/10 dport 7 dst-mac 01:00:5e:00:00:01 vlan 5 state new allow log"
}

# ---- files ----

files() {
	check "acl load" silently load '# a list\n\nproto tcp dport 80 allow # web\r\n\tprio 5 deny\nreject'
	equal "... comments, blanks, CRLF, no last line break" "$(x acl show dev v1 in | sed '1d; s/  # packets.*//')" \
		$'prio 5 deny\nprio 10 proto tcp dport 80 allow\nprio 20 reject'
	check "acl load replaces" silently load 'allow'
	json "... all" 'length == 1' acl show dev v1
	check "an empty file empties the list" silently x acl load dev v1 in /dev/null
	equal "..." "$(x -j acl)" "[]"
	check "... also one that is empty" silently x acl load dev v1 in /dev/null
	mkdir -p "$T/dir"
	echo deny >"$T/dir/rules"
	(cd "$T/dir" && check "a file by a relative name" silently x acl load dev v1 in rules)
	((++lib_n)) # of the subshell
	must x acl del dev v1 in all
	check "a pipe" silently x acl load dev v1 in <(echo allow)
	must x acl del dev v1 in all
	check "under ip netns exec, by a relative name" silently ip netns exec "$P-host" \
		sh -c "cd '$T/dir' && exec '$XDPCTL' acl load dev v1 in ./../dir/rules"
	check "... and by an absolute one" silently ip netns exec "$P-host" "$XDPCTL" acl load dev v1 out "$T/dir/rules"
	json "..." 'map(.direction) == ["in", "out"]' acl show
	load '' && load '' 'dev v1' out
	printf 'acl add dev v1 in allow\nacl load dev v1 out %s\nacl del dev v1 in all\nacl show\n' "$T/dir/rules" >"$T/batch"
	equal "in a batch" "$(x -j -b "$T/batch" | jq -c '.[0] | map(.direction)')" '["out"]'
	load '' 'dev v1' out
	for i in {1..3000}; do echo "src 10.$((i / 256)).$((i % 256)).0/24 allow"; done | shuf >"$T/many"
	check "3,000 rules" silently x acl load dev v1 in "$T/many"
	equal "..." "$(x -j acl show dev v1 | jq -c '[length, (map(.prio) | . == sort), .[2999].prio]')" "[3000,true,30000]"
	equal "... each has a counter of its own" "$(numbers v1 0 | cut -d: -f2 | sort -u | wc -l)" 3000
	x acl show dev v1 in | sed 's/  #.*//' >"$T/shown"
	check "... come back from what is shown" silently x acl load dev v1 in "$T/shown"
	equal "..." "$(x acl show dev v1 in | sed 's/  #.*//' | cmp - "$T/shown" 2>&1)" ""
	load ''
}

# ---- counters ----

# counts FILTER: of the rules of v1 in.
counts() {
	x -j acl show dev v1 in | jq -c "map([.prio, .packets, .bytes])"
}

counters() {
	local seen n
	load 'proto icmp icmp-type 8 src 10.0.0.2 allow\nproto tcp dport 80 allow\nproto tcp dport 81 allow\nallow'
	must pings v2 10.0.0.1
	seen=$(counts)
	check "a rule counts what it judges" jq -e '.[0] | .[0] == 10 and .[1] >= 1 and .[2] == .[1] * 98' <<<"$seen"
	seen=$(jq -c '.[0][1:]' <<<"$seen")
	numbers=$(numbers v1 0)
	check "another rule" silently x acl add dev v1 in prio 1 vlan 9 deny
	equal "... leaves the counters" "$(counts | jq -c '.[1][1:]')" "$seen"
	check "a reload in another order, with other prios" \
		silently load 'prio 3 proto tcp dport 81 allow\nprio 4 src 10.0.0.2/32 icmp-type 8 proto 1 allow\nprio 50 deny\n'
	equal "... leaves the counters" "$(counts | jq -c '.[1][1:]')" "$seen"
	equal "... and the numbers of the rules that stay" "$(numbers v1 0 | sed -n '1s/.*://p; 2s/.*://p' | tr '\n' ' ')" \
		"$(sed -n '3s/.*://p' <<<"$numbers") $(sed -n '1s/.*://p' <<<"$numbers") "
	load 'proto icmp icmp-type 8 src 10.0.0.2 allow log\nallow'
	equal "a rule that is another starts at 0" "$(counts | jq -c '.[0][1:]')" "[0,0]"
	must pings v2 10.0.0.1
	load 'proto udp allow\nallow'
	equal "... also where its number was another's" "$(counts | jq -c '.[0][1:]')" "[0,0]"
	load 'deny\ndeny\ndeny'
	mapfile -t n < <(numbers v1 0 | cut -d: -f2)
	load 'deny\nallow\ndeny\ndeny\ndeny'
	equal "equal rules are paired by prio, then in order" \
		"$(numbers v1 0 | sed -nE '1,4s/.*:// ; 1p; 3p; 4p' | tr '\n' ' ')" "${n[0]} ${n[2]} ${n[1]} "
	check "acl del" silently x acl del dev v1 in prio 10
	equal "... of one of them keeps the others'" "$(numbers v1 0 | sed -n '2s/.*://p; 3s/.*://p' | tr '\n' ' ')" \
		"${n[2]} ${n[1]} "
	equal "status counts them" "$(used)" 4
	load ''
	equal "... until there are none" "$(used)" 0
}

# ---- a long list, which is changed in its place ----

# has LINES: v1's list is that of $T/long with these at its beginning (for printf).
has() {
	# shellcheck disable=SC2059
	diff <(printf "$1" && cat "$T/long") <(x acl show dev v1 in | sed 's/  #.*//; /^#/d')
}

long() {
	local id seen i
	for i in {1..599}; do echo "prio $((i * 10)) proto udp dport $i deny"; done >"$T/long"
	echo "prio 6000 allow" >>"$T/long"
	load "$(cat "$T/long")"
	id=$(port_list v1 0)
	must pings v2 10.0.0.1
	check "a rule before 600 others" silently x acl add dev v1 in prio 2 proto icmp allow
	check "... is shown" has 'prio 2 proto icmp allow\n'
	must pings v2 10.0.0.1
	equal "... and counts" "$(counts | jq '.[0][1] > 0 and .[600][1] > 0')" true
	check "one before it" silently x acl add dev v1 in src 10.0.0.2 prio 1 deny log
	check "... is in force" silent v2 10.0.0.1
	refused "its prio is taken" 1 'prio 1' acl add dev v1 in prio 1 allow
	refused "... and so is another's" 1 'prio 5990' acl add dev v1 in prio 5990 allow
	check "acl del" silently x acl del dev v1 in prio 1
	refused "... is over" 1 'prio 1' acl del dev v1 in prio 1
	must pings v2 10.0.0.1
	json "-v: with what is beside the index" '.[0].rules | length == 601' acl show -v dev v1
	check "acl del of one of the first ones" silently x acl del dev v1 in prio 6000
	refused "... is over" 1 'prio 6000' acl del dev v1 in prio 6000
	equal "status counts what there is" "$(used)" 600
	check "a rule at the end" silently x acl add dev v1 in deny
	equal "... has the prio behind what is there" "$(x -j acl show dev v1 | jq '.[-1].prio')" 6000
	must x acl del dev v1 in prio 6000
	must x acl add dev v1 in prio 6000 allow
	must x acl del dev v1 in prio 2
	check "the old list again" has ''
	equal "it is still the same map" "$(port_list v1 0)" "$id"
	seen=$(counts | jq -c '.[:599]')
	for i in {1..20}; do must x acl add dev v1 in prio "${i}5" vlan "$i" allow && must x acl del dev v1 in prio "${i}5"; done
	check "after many changes, the old list again" has ''
	check "... in another map" test "$(port_list v1 0)" != "$id"
	equal "... with its counters" "$(counts | jq -c '.[:599]')" "$seen"
	equal "... and no others in use" "$(used)" 600
	check "a reload of a changed list" silently x acl add dev v1 in prio 3 vlan 3 deny
	must x acl del dev v1 in prio 20
	must x acl load dev v1 in "$T/long"
	check "... is what was loaded" has ''
	equal "... and so are counters" "$(used)" 600
	must x acl add dev v1 in prio 3 vlan 3 deny
	must x acl del dev v1 in prio 20
	load ''
	equal "a list that was changed leaves no counter in use" "$(used)" 0
}

# A change must be in force when the command is over, also for connections that live.
in_force() {
	local old
	must pings v2 10.0.0.1
	old=$(generation v1)
	must x acl add dev v1 in src 10.0.0.2 deny
	check "a rule is in force at once" silent v2 10.0.0.1
	check "... by another generation" test "$(generation v1)" != "$old"
	must x acl add network lan out prio 1 src 10.0.0.1 deny
	old=$(generation v2)
	must x acl del dev v1 in all
	check "a network's rule as well" silent v1 10.0.0.200
	must x acl load network lan out /dev/null
	check "... gone at once, too" pings v1 10.0.0.200
	check "a network's list is a change for all its ports" test "$(generation v2)" != "$old"
}

# ---- what is refused ----

refusals() {
	local i
	load 'prio 10 proto tcp dport 80 allow\nprio 20 deny log'
	load 'deny' 'network lan' out
	before=$(state)
	quick=$LABEL
	bad 2 'missing' acl add
	bad 2 'missing' acl add dev v1
	bad 2 'missing' acl add dev v1 in
	bad 2 'missing' acl add dev v1 in proto tcp
	bad 2 '"v1"' acl add v1 in allow
	bad 2 'dev' acl add dev
	bad 2 '"both"' acl add dev v1 both allow
	bad 2 '"allow"' acl add dev v1 allow
	bad 2 '"network"' acl add dev v1 in network lan allow
	bad 2 '"out"' acl add dev v1 in out allow
	bad 2 '"a/b"' acl add dev a/b in allow
	bad 2 '"-x"' acl add network -x in allow
	bad 1 'nope' acl add dev nope in allow
	bad 1 'nope' acl add network nope in allow
	bad 1 'prio 10' acl add dev v1 in prio 10 deny
	bad 1 'prio 20' acl add dev v1 in prio 20 deny log
	quick=1
	while read -r text words; do
		# shellcheck disable=SC2086
		bad 2 "$text" acl add dev v1 in $words
	done <<-END
		"drop" drop
		"Deny" Deny
		"log" log deny
		"deny" allow deny
		"proto" allow proto tcp
		"0" prio 0 allow
		"-5" prio -5 allow
		"2147483648" prio 2147483648 allow
		twice prio 1 prio 1 allow
		"ipv6" family ipv6 allow
		"0" proto 0 allow
		"256" proto 256 allow
		"tcp,udp" proto tcp,udp allow
		10.0.0.0/33 src 10.0.0.0/33 allow
		"10.0.0.256" dst 10.0.0.256 allow
		"10.0.0.1-10.0.0.9" src 10.0.0.1-10.0.0.9 allow
		"any" src any allow
		"::1" src 10.0.0.1 dst ::1 allow
		"ip6" src 10.0.0.1 family ip6 allow
		"fe80::/10" proto icmp src fe80::/10 allow
		"ip" proto icmp6 family ip allow
		proto dport 80 allow
		proto proto icmp sport 80 allow
		"65536" proto tcp dport 65536 allow
		"90-80" proto tcp dport 90-80 allow
		"80,81" proto tcp dport 80,81 allow
		"http" proto tcp dport http allow
		proto icmp-type 8 allow
		"256" proto icmp icmp-type 256 allow
		"echo" proto icmp icmp-type echo allow
		proto tcp-flags 2/2 allow
		"2" proto tcp tcp-flags 2 allow
		"0x12/0x04" proto tcp tcp-flags 0x12/0x04 allow
		"0/0" proto tcp tcp-flags 0/0 allow
		ff:ff:ff:ff:ff:ff src-mac ff:ff:ff:ff:ff:ff allow
		"02-00-00-00-00-01" dst-mac 02-00-00-00-00-01 allow
		00:00:00:00:00:00 dst-mac 00:00:00:00:00:00 allow
		"0x5ff" ethertype 0x5ff allow
		"65536" ethertype 65536 allow
		"arp" ethertype arp allow
		0x0800 ethertype 0x800 family ip6 allow
		"4095" vlan 4095 allow
		"10-20" vlan 10-20 allow
		"none" vlan none allow
		"NEW" state NEW allow
		"new,related" state new,related allow
		twice state new state new allow
		"iif" iif v2 allow
		"policy-in" policy-in deny allow
	END
	equal "none of them changes anything" "$(state)" "$before"
	quick=$LABEL
	bad 2 '""' acl add dev v1 in ''
	bad 2 '""' acl add dev v1 in src '' allow
	bad 2 'dst-mac needs a value' acl add dev v1 in dst-mac
	bad 2 'xxxxxxxx' acl add dev v1 in src "$(printf 'x%.0s' {1..3000})" allow
	bad 2 'missing' acl del
	bad 2 'missing' acl del dev v1 in
	bad 2 '"10"' acl del dev v1 in 10
	bad 2 '"none"' acl del dev v1 in none
	bad 2 '"x"' acl del dev v1 in prio x
	bad 2 '"more"' acl del dev v1 in all more
	bad 2 '"allow"' acl del dev v1 in prio 10 allow
	bad 1 'prio 11' acl del dev v1 in prio 11
	bad 1 'prio 10' acl del dev v1 out prio 10
	bad 1 'nope' acl del dev nope in all
	bad 2 'FILE' acl load dev v1 in
	bad 2 '"more"' acl load dev v1 in /dev/null more
	bad 1 "$T/nothing" acl load dev v1 in "$T/nothing"
	bad 1 "$T" acl load dev v1 in "$T"
	bad 1 'nope' acl load dev nope in /dev/null
	bad 1 'zero' acl load dev v1 in /dev/zero
	bad 2 '"foo"' acl show foo
	bad 2 '"network"' acl show dev v1 network lan
	bad 2 '"out"' acl show dev v1 in out
	bad 2 '"-x"' acl show -x
	bad 1 'nope' acl show dev nope
	bad 1 'nope' acl show network nope in
	bad 1 'nope' acl log dev nope
	bad 2 '"foo"' acl log foo
	bad 2 '"flush"' acl flush
	bad_file 'line 1:' 'drop'
	bad_file 'line 4:' 'allow\n\n# x\nprio 10 prio 20 allow\nfoo\n'
	bad_file 'line 2: rule: the action is missing' 'allow\nproto tcp dport 80 # allow\n'
	bad_file 'line 3: prio 7 is that of line 1' 'prio 7 allow\nallow\nprio 7 deny\n'
	bad_file 'line 2: prio 10 is that of line 1' 'allow\nprio 10 deny\n'
	bad_file '"in"' 'in allow\n'
	bad_file '"acl"' 'acl add dev v1 in allow\n'
	bad_file 'line 2:' 'allow\nde\0ny\n'
	bad_file 'line 1:' "$(head -c 3000 /dev/urandom | base64 -w 0)"
	bad_file 'line 2:' "allow\n$(printf ' allow%.0s' {1..100})\n"
	printf 'prio 2147483640 allow\nallow\n' >"$T/rules"
	bad 1 'line 2' acl load dev v1 in "$T/rules"
	printf 'deny\n%.0s' {1..131073} >"$T/rules"
	bad 1 '131072' acl load dev v1 in "$T/rules"
	equal "what was refused changes nothing" "$(state)" "$before"
	equal "the file may be standard input: its name" "$(echo drop | x acl load dev v1 in - 2>&1 | grep -o '^xdpctl: - line 1')" \
		"xdpctl: - line 1"
	must x acl add dev v2 in prio 2147483640 allow
	refused "no room behind the last prio" 1 '2147483640' acl add dev v2 in allow
	must x acl del dev v2 in all
	for i in 'acl load dev v1 in -' 'acl log'; do
		echo "$i" >"$T/batch"
		refused "$i is not for a batch" 2 'batch' -b "$T/batch"
	done
	equal "errors are JSON, too" "$(x -j acl add dev v1 in prio 10 allow 2>&1 | jq -c '[.code, (.error | contains("prio 10"))]')" \
		'["EEXIST",true]'
	equal "..." "$(x -j acl del dev v1 in prio 1 2>&1 | jq -r .code)" "ENOENT"
	equal "..." "$(x -j acl add dev v1 in prio x allow 2>&1 | jq -r .code)" "EINVAL"
	load ''
	load '' 'network lan' out
}

# ---- lists go with their owner ----

owners() {
	local id
	load 'deny' 'dev v2' in
	load 'deny' 'dev v2' out
	load 'allow' 'dev nic0' in
	load 'allow' 'network intern' in
	id=$(port_id v2)
	must x port del dev v2
	json "port del takes its lists along" 'map(.on) == ["dev nic0", "network intern"]' acl show
	equal "... and their counters" "$(used)" 2
	must x port add lan dev v2
	equal "a port of the same id" "$(port_id v2)" "$id"
	equal "... has none of them" "$(policy v2)" "[0,0,0,0,0]"
	check "... and lets all pass" pings v2 10.0.0.1
	must x network set lan uplink none
	json "an uplink's lists go with it" 'map(.on) == ["network intern"]' acl show
	must x network set lan uplink nic0
	json "... and are not the next one's" 'map(.on) == ["network intern"]' acl show
	must x port del dev v3
	must x network del intern
	equal "network del takes its lists along" "$(x -j acl)$(used)" "[]0"
	load 'deny' 'network lan' in
	must x port del dev v1
	must x port add lan dev v1
	equal "a new port is judged by its network's list" "$(policy v1)" "[0,0,1,0,1]"
	load '' 'network lan' in
	must ip -n "$P-host" link set v1 down
	must ip -n "$P-host" link set v1 name w1
	load 'deny' 'dev w1'
	json "lists follow a renamed device" 'map(.on) == ["dev w1"]' acl show
	must ip -n "$P-host" link set w1 name v1
	must ip -n "$P-host" link set v1 up
	load ''
	must x network add intern mode internal
	must x port add intern dev v3
}

# ---- killed, and side by side ----

# The list is one of two, the counters in use are those of its rules, and a change works.
whole() {
	local seen
	seen=$(x acl show dev v1 2>&1 | sed 's/  #.*//')
	[ "$seen" = "$old" ] || [ "$seen" = "$new" ] || { echo "a mix: $seen" && return 1; }
	[ "$(used)" = "$(grep -c '^prio' <<<"$seen")" ] || { echo "$(used) counters for $seen" && return 1; }
	[ "$(policy v1)" = "$([ -n "$seen" ] && echo '[1,0,0,0,1]' || echo '[0,0,0,0,0]')" ] || { policy v1 && return 1; }
	x acl add dev v2 in allow && x acl del dev v2 in all
}

# killed NAME OLD COMMAND: COMMAND dies at one after the other of its last system calls: after the
# change, then at every fourth, at the others as time allows. OLD brings the old list back.
killed() {
	local name=$1 text=$2 command=$3 end=$((SECONDS + SECONDS_EACH)) old new points at seen bad='' both=0 kinds=''
	load "$text"
	old=$(x acl show dev v1 | sed 's/  #.*//')
	# shellcheck disable=SC2086
	must strace -f -o "$T/log" -e trace=bpf,clone,fork,vfork,munmap "$XDPCTL" -n "$P-host" $command
	new=$(x acl show dev v1 | sed 's/  #.*//')
	mapfile -t points < <(for call in bpf clone munmap; do
		at=$(grep -cE "[0-9 ]$call\(" "$T/log")
		seq $((at > 40 ? at - 40 : 1)) "$at" | sed "s/^/$call /"
	done | awk '$1 == "bpf" { last = NR - 1 } { p[NR - 1] = $0 } END {
		for (i = last; i > last - 4 && i >= 0; i--) print p[i]
		for (k = 0; k < 4; k++) for (i = k; i < NR; i += 4) if (i <= last - 4 || i > last) print p[i] }')
	for at in "${points[@]}"; do
		[ "$both" -lt $((4 + ${#points[@]} / 4)) ] || [ "$SECONDS" -lt "$end" ] || break
		load "$text"
		# shellcheck disable=SC2086
		(strace -f -o /dev/null -e trace="${at% *}" \
			-e inject="${at% *}:signal=SIGKILL:when=${at#* }" \
			"$XDPCTL" -n "$P-host" $command; true) >/dev/null 2>&1
		seen=$(whole 2>&1) || bad+="$at: $seen"$'\n'
		both=$((both + 1))
		kinds+=$([ "$(x acl show dev v1 | sed 's/  #.*//')" = "$old" ] && echo o || echo n)
	done
	equal "$name: killed $both times, the list is the old or the new one" "$bad" ""
	check "... and both were seen" grep -q 'o.*n\|n.*o' <<<"$kinds"
	load ''
}

deaths() {
	killed "acl load" 'deny\nproto tcp allow\nallow' "acl load dev v1 in $T/new"
	killed "the first acl add" '' "acl add dev v1 in allow"
	killed "acl del" 'deny\nallow' "acl del dev v1 in prio 20"
	killed "acl add to a long list" "$(cat "$T/long")" "acl add dev v1 in prio 1 allow"
	killed "acl del from a long list" "$(cat "$T/long")" "acl del dev v1 in prio 10"
	killed "the last acl del" 'deny' "acl del dev v1 in all"
}

# Rules come and go while lists are shown: each list that is seen is one that was loaded.
side_by_side() {
	local pids=() i bad='' seen
	for i in 1 2 3 4 5 6 7 8; do
		x acl add dev v1 in proto $((i + 30)) allow &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i" || bad+="exit $? "; done
	equal "eight adds at once: all are there" "$bad$(x -j acl show dev v1 | jq -c 'map(.prio), (map(.match.proto) | sort)' | tr '\n' ' ')" \
		'[10,20,30,40,50,60,70,80] ["31","32","33","34","35","36","37","38"] '
	load "$(cat "$T/long")"
	pids=()
	for i in 1 2 3 4 5 6 7 8; do
		x acl add dev v1 in prio "$i" vlan 1 deny &
		pids+=($!)
		x acl del dev v1 in prio "${i}0" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i" || bad+="exit $? "; done
	equal "eight adds and dels at once in a long list" "$bad$(x -j acl show dev v1 | jq -c 'length, .[7].prio, .[8].prio')" $'600\n8\n90'
	load ''
	seq 1 500 | sed 's/.*/vlan & allow/' >"$T/a"
	seq 1 700 | sed 's/.*/vlan & deny/' >"$T/b"
	must x acl load dev v1 in "$T/a"
	for i in {1..6}; do x acl load dev v1 in "$T/b" && x acl load dev v1 in "$T/a"; done &
	pids=($!)
	for i in {1..15}; do
		seen=$(x -j acl show dev v1 | jq -c '[length, (map(.action) | unique)]')
		[ "$seen" = '[500,["allow"]]' ] || [ "$seen" = '[700,["deny"]]' ] || bad+="$seen "
		x acl add dev v2 in prio "$i" allow || bad+="add $i "
	done
	wait "${pids[0]}" || bad+="load failed"
	equal "lists are shown whole while they are loaded" "$bad" ""
	equal "... and rules added to another" "$(x -j acl show dev v2 | jq length)" 15
	equal "no two rules share a counter" "$({ numbers v1 0 && numbers v2 0; } | cut -d: -f2 | sort | uniq -d)" ""
	equal "counters in use are as many as rules" "$(used)" 515
	load ''
	load '' 'dev v2'
}

# ---- the log ----

# follow FILE ARG...: `acl log` in the background; its pid is $!.
follow() {
	local file=$1
	shift
	"$XDPCTL" -n "$P-host" "$@" >"$file" 2>&1 &
	lib_pids+=($!)
	sleep 0.5
}

logs() {
	local pid
	load 'proto icmp icmp-type 8 allow log\nallow'
	follow "$T/log" acl log
	pid=$!
	must pings v2 10.0.0.1
	eventually "acl log prints what a rule tells" 3 grep -qE \
		'^20[0-9-]+T[0-9:.]+Z v1: on dev v1 in prio 10 allow proto icmp src 10.0.0.2 dst 10.0.0.1 icmp-type 8 state new src-mac 02:00:00:00:00:02 dst-mac 02:00:00:00:00:01 ethertype 0x0800 vlan 0 length 98$' "$T/log"
	check "other commands run meanwhile" silently x acl add dev v1 in prio 5 proto icmp src 10.0.0.200 deny log
	silent wire 10.0.0.1 >/dev/null
	eventually "... and what they add is told" 3 grep -q ' v1: on dev v1 in prio 5 deny proto icmp src 10.0.0.200 ' "$T/log"
	interrupted "an interrupt ends it" "$pid" INT
	load 'proto icmp icmp-type 8 deny log\nallow'
	load 'proto icmp allow log' 'network lan' out
	follow "$T/log" -j acl log dev v1 in
	pid=$!
	silent v2 10.0.0.1 >/dev/null
	eventually "-j: an object a line" 3 jq -e 'select(.dev == "v1" and .on == "dev v1" and .direction == "in" and
		.prio == 10 and .action == "deny" and .proto == "icmp" and .src == "10.0.0.2" and .icmp_type == 8 and
		.state == "new" and .length == 98 and .ethertype == "0x0800")' "$T/log"
	equal "a filter leaves the rest out" "$(jq -rc '[.on, .direction]' "$T/log" | sort -u)" '["dev v1","in"]'
	interrupted "SIGTERM ends it, too" "$pid" TERM
	load ''
	follow "$T/log" -j acl log network lan
	pid=$!
	must pings v2 10.0.0.1
	eventually "a network's rule tells of the port" 3 jq -e 'select(.dev == "v2" and .on == "network lan" and
		.direction == "out")' "$T/log"
	load '' 'network lan' out
	check "acl log waits with nothing to tell" kill -0 "$pid"
	must x detach
	eventually "detach ends it" 5 check_gone "$pid"
}

# interrupted NAME PID SIGNAL: ends at once, well.
interrupted() {
	kill -s "$3" "$2"
	wait "$2"
	equal "$1" $? 0
}

check_gone() {
	! kill -0 "$1" 2>/dev/null
}

# ---- all of it ----

set_up() {
	must x network add lan mode bridge uplink nic0
	must x network add intern mode internal
	must x port add lan dev v1
	must x port add lan dev v2
	must x port add intern dev v3
}

run_all() {
	local before quick='' maps numbers
	local part
	topology
	for part in empty set_up words every_match files counters in_force long refusals owners; do
		[ -z "${TIMES-}" ] || echo "# $SECONDS s: $part"
		$part
	done
	printf 'allow\nproto udp deny\nprio 7 proto tcp allow\nvlan 5 deny\n' >"$T/new"
	[ -n "$LABEL" ] || deaths # strace and the leak sanitizer do not go together
	side_by_side
	logs
	set_up
	load 'deny'
	load 'allow' 'network lan' out
	x acl load dev nic0 in "$T/a"
	mapfile -t maps < <(ids)
	equal "lists and counters are maps" "${#maps[@]}" 4
	check "detach" silently x detach
	eventually "... leaves none of them" 2 gone "${maps[@]}"
	equal "... nor anything to show" "$(x -j acl)" "[]"
	down
}

run_all
if sanitized; then
	run_all
	unreported
fi
finish

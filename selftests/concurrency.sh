#!/bin/bash
# concurrency.sh - many xdpctl at once: nothing is lost, nothing is done twice, who shares a
# setting's port does not undo another's, and a dead holder of the lock blocks nobody.
#
#     v1 and v2 talk all the time; v3 is fought for; 8 workers have devices of their own
#     in the host namespace: a1 b1 … a8 b8
# shellcheck disable=SC2317 # functions are called by check

# shellcheck source=selftests/lib.sh
. "$(dirname "$0")/lib.sh"

WORKERS=8

# all NAME CMD...: CMD N by each worker at once; each must succeed and say nothing.
all() {
	local name=$1 n pids=() bad=''
	shift
	for ((n = 1; n <= WORKERS; n++)); do
		"$@" "$n" >"$T/out$n" 2>&1 &
		pids+=($!)
	done
	for ((n = 1; n <= WORKERS; n++)); do
		wait "${pids[n - 1]}" || bad+="worker $n: exit $?: $(head -c 300 "$T/out$n")"$'\n'
		[ ! -s "$T/out$n" ] || bad+="worker $n: $(head -c 300 "$T/out$n")"$'\n'
	done
	equal "$name" "$bad" ""
}

# one NAME TEXT CMD...: CMD N by each worker at once; one succeeds, the others are refused with TEXT.
one() {
	local name=$1 text=$2 n pids=() won=0 refused=0
	shift 2
	for ((n = 1; n <= WORKERS; n++)); do
		"$@" "$n" >"$T/out$n" 2>&1 &
		pids+=($!)
	done
	for ((n = 1; n <= WORKERS; n++)); do
		if wait "${pids[n - 1]}"; then
			won=$((won + 1))
		elif grep -qF -- "$text" "$T/out$n"; then
			refused=$((refused + 1))
		fi
	done
	[ "$won $refused" = "1 $((WORKERS - 1))" ] ||
		{ not_ok "$name" "$won succeeded, $refused were refused: $(cat "$T"/out?)" && return; }
	ok "$name"
}

# Everything of one's own, several times over, ending with a state that is known.
busy() {
	local n=$1 i
	for i in 1 2 3; do
		x network add "net$n" mode internal ageing "${i}0s" || return
		x port add "net$n" dev "a$n" vlan "$n" || return
		x port add "net$n" dev "b$n" || return
		x port set dev "b$n" trunk "$n,10$i" native "$n" group "$n" || return
		x fdb add "06:00:00:00:0$n:0$i" dev "a$n" || return
		x -j port show network "net$n" | jq -e --argjson n "$n" \
			'length == 2 and .[0].vlan == $n and .[1].group == $n' >/dev/null || { echo "port show $i" && return 1; }
		x -j stats | jq -e 'length >= 2' >/dev/null || { echo "stats $i" && return 1; }
		[ "$i" = 3 ] && break
		x port set dev "a$n" hook xdp || return
		x -b - <<<"port del dev a$n"$'\n'"port del dev b$n"$'\n'"network del net$n" || return
	done
}

add_addresses() {
	local n=$1 i
	for i in {10..34}; do x fdb add "06:00:00:01:0$n:$i" dev v3 || return; done
	for i in {35..59}; do echo "fdb add 06:00:00:01:0$n:$i dev v3"; done | x -b -
}

# Each has a key of the same port's.
set_own_key() {
	local keys=('isolated on' 'learning off' 'flood off' 'mcast-flood off' 'bcast-flood off' 'sticky on'
		'hairpin on' 'group 9') i
	for i in {1..5}; do
		# shellcheck disable=SC2086
		x port set dev v3 ${keys[$1 - 1]} || return
	done
}

first_command() {
	x network add "first$1" mode internal
}

# Making and removing the whole switch at once: whoever comes later sees a whole one or none.
come_and_go() {
	local i seen
	for i in {1..5}; do
		if [ $(($1 % 2)) = 0 ]; then
			x detach || return
		else
			x network add "go$1-$i" mode internal || return
			seen=$(x -j network) || return
			jq -e 'type == "array"' <<<"$seen" >/dev/null || return
		fi
	done
}

add_same() { x network add same mode bridge; }
del_same() { x network del same; }
take_port() { x port add "net$1" dev v3; }
leave_port() { x port del dev v3; }
take_uplink() { x network add "up$1" mode bridge uplink nic0; }
add_address() { x fdb add 06:00:00:02:00:01 dev v1; }

# lock_holder: a process, its pid in $holder, that has the lock.
lock_holder() {
	(exec 9<"$(pins host)" && flock 9 && : >"$T/locked" && exec sleep 100) &
	holder=$!
	lib_pids+=("$holder")
	while [ ! -e "$T/locked" ]; do sleep 0.02; done
	rm "$T/locked"
}

locks() {
	local holder waiting
	lock_holder
	x port set dev v1 fdb-max 77 >"$T/waits" 2>&1 &
	waiting=$!
	sleep 0.3
	check "a command waits for the lock's holder" kill -0 "$waiting"
	kill -9 "$holder"
	wait "$holder" 2>/dev/null
	wait "$waiting"
	equal "... and goes on when that is killed" "$? $(cat "$T/waits")" "0 "
	json "... with what it was to do" '.[0].fdb_max == 77' port show dev v1
	# one of ours, stopped in the middle of a change and then killed
	if ! command -v strace >/dev/null; then
		skip "a stopped xdpctl" "there is no strace"
		return
	fi
	strace -f -o "$T/strace" -e trace=bpf -e inject=bpf:signal=SIGSTOP:when=30 \
		"$XDPCTL" -n "$P-host" port set dev v1 fdb-max 88 &
	holder=$!
	lib_pids+=("$holder")
	for _ in {1..100}; do
		! grep -qs 'stopped by SIGSTOP' "$T/strace" || break
		sleep 0.05
	done
	waiting=$(pgrep -P "$holder")
	check_not "a stopped one holds the lock" flock -n "$(pins host)" true
	kill -9 "$waiting"
	wait "$holder" 2>/dev/null
	check "... killed, it does not" timeout 20 "$XDPCTL" -n "$P-host" port set dev v2 fdb-max 99
	json "... old or new" '.[0].fdb_max | IN(77, 88)' port show dev v1
}

topology
for ((n = 1; n <= WORKERS; n++)); do
	must ip -n "$P-host" link add a$n type veth peer name b$n
	must ip -n "$P-host" link set a$n up
	must ip -n "$P-host" link set b$n up
done

all "first commands at once" first_command
json "... make one switch with all of it" "length == $WORKERS" network
all "adding and detaching at once" come_and_go
check "... can be detached" x detach
check_not "... to nothing" test -e "$(pins host)"

must x network add lan mode internal
must x port add lan dev v1
must x port add lan dev v2
must x port add lan dev v3
must pings v1 10.0.0.2
spawn v1 ping -i 0.005 10.0.0.2 >"$T/ping"
talk=$!

all "networks, ports, settings, addresses, each its own" busy
json "... are all there" "[.[].name] | sort == [\"lan\"] + [range(1; $((WORKERS + 1))) | \"net\(.)\"]" network
json "... with two ports each" 'map(select(.name != "lan")) | all(.[]; (.ports | length) == 2 and .ageing == 30)' network
json "... and their settings" '[.[] | select(.dev[:1] == "b")] |
	length == 8 and all(.[]; .dev == "b\(.native)" and .group == .native and .trunk == ([.native, 103] | sort))' port
json "... and addresses" '[.[] | select(.mac[:11] == "06:00:00:00")] | length == 8' fdb
json "port ids, names and counts agree" '(.maps | map({(.name): .used}) | add) |
	.networks == 9 and .ports == 19' status

all "addresses at one port" add_addresses
json "... none is lost" '[.[] | select(.mac[:11] == "06:00:00:01")] | length == 400' fdb show dev v3
all "keys of one port" set_own_key
json "... none is lost" '.[0] | .isolated and (.learning | not) and (.flood | not) and
	(.mcast_flood | not) and (.bcast_flood | not) and .sticky and .hairpin and .group == 9' port show dev v3
for round in 1 2 3; do
	one "the same network, round $round" same add_same
	one "... deleted" same del_same
done
must x port del dev v3
for round in 1 2 3; do
	one "a device for one network, round $round" v3 take_port
	json "... is in one" '[.[].ports[] | select(. == "v3")] | length == 1' network
	one "... taken out" v3 leave_port
done
one "an uplink for one network" nic0 take_uplink
json "... is one network's" 'map(select(.uplink == "nic0")) | length == 1' network
json "... the others left nothing" 'map(select(.name[:2] == "up")) | length == 1' network
one "a static address" 06:00:00:02:00:01 add_address
locks
kill -INT "$talk"
wait "$talk"
check "the talk lost nothing" grep -q ' 0% packet loss' "$T/ping"
grep 'packet loss' "$T/ping" | sed 's/^/# /'
check "detach" x detach
check_not "... leaves no pins" test -e "$(pins host)"
finish

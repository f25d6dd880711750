#!/bin/bash
# crash.sh - xdpctl dies in the middle. Each changing command is killed at each system call
# from its first change on (strace steps through them), and some at random moments; after
# each kill the state must be the old one or the new one, as the next command shows it, as
# the pins and maps have it, and as traffic meets it. Other ports' traffic goes on.
#
#     v1, v2, nic0   come and go
#     v3, v4         stay in the same network and talk all the time
# shellcheck disable=SC2317 # functions are called by check

# shellcheck source=selftests/lib.sh
. "$(dirname "$0")/lib.sh"

CALLS=bpf,sendto,ioctl,unlink,unlinkat,rename,renameat,mkdir,mkdirat,rmdir,setsockopt,mount
BUDGET=${CRASH_BUDGET:-45} # seconds, shared by the scenarios

# What is shown, in an order that does not depend on when; learned entries come and go.
view() {
	printf '%s\n' 'network show' 'port show' 'fdb show' | x -b - 2>&1 | LC_ALL=C sort |
		sed -E '/ dynamic +[0-9]+$/d; /^NETWORK +MAC/d; s/ +static +0$//; s/ ports .*//'
}

# What is in the maps and on the devices fits what is shown (the talk may be learned meanwhile).
fits() {
	local try seen
	for try in 1 2 3; do
		seen=$(fits_now)
		[ -n "$seen" ] || return
		sleep "0.$try"
	done
	echo "$seen"
}

fits_now() {
	local dir seen wanted counts
	dir=$(pins host)
	printf '%s\n' 'network show' 'port show' 'fdb show' status | x -j -b - >"$T/shown" 2>&1
	wanted=$(jq -r '"\(.[1] | length) links, \(.[1] | map(select(.uplink)) | length) at egress, " +
		"XDP at \(.[1] | map(select(.hook == "xdp").dev + " ") | sort | join("")), " +
		"\([.[1][].mac // [] | length] | add // 0) guarded, " +
		"\([.[1][] | (.ip // [] | length) + if .ip and (.ip | any(contains(":"))) then .mac // [] | length else 0 end] |
			add // 0) prefixes, \(.[1] | length) ports, \(.[0] | length) networks, " +
		"\(.[2] | length) of \([.[3].maps[] | select(.name == "fdb").used] | add // 0) addresses"' "$T/shown" 2>&1)
	[ -e "$dir" ] || return 0
	# one array of entries a map
	counts=$(printf "map dump pinned $dir/%s\n" port_macs port_ips port_info network_info fdb | bpftool batch file - |
		awk '/^\[/ { n = 0 } /"key":/ { n++ } /^\]/ || /^\[\]/ { printf "%d ", n }')
	# shellcheck disable=SC2086
	set -- $counts
	seen="$(compgen -G "$dir/link_tc_ingress_*" | wc -l) links, $(compgen -G "$dir/link_tc_egress_*" | wc -l) at egress, "
	seen+="XDP at $(ip -n "$P-host" -o link | sed -nE 's/^[0-9]+: ([^@:]+).* xdp.*/\1/p' | sort | tr '\n' ' '), "
	seen+="$1 guarded, $2 prefixes, $3 ports, ${4-} networks, ${5-} of ${5-} addresses"
	[ "$seen" = "$wanted" ] || echo "$seen; shown: $wanted; "
}

# The next command works, and another change does.
goes_on() {
	local seen
	seen=$(printf 'fdb add 06:00:00:00:00:01 dev v3\nfdb del 06:00:00:00:00:01\n' | x -b - 2>&1) && [ -z "$seen" ] ||
		echo "the next change fails: $seen"
}

reaches() {
	ns "$1" ping -q -c 1 -W 0.3 "$2" >/dev/null
}

# traffic FROM ADDRESS OLD NEW: whether FROM reaches ADDRESS is what it was, or is to be.
traffic() {
	local wanted=$3 seen=yes
	[ "$1" != - ] || return 0
	[ "$at" = "$old" ] || wanted=$4
	reaches "$1" "$2" || seen=no
	[ "$seen" = "$wanted" ] || echo "$1 reaches $2: $seen, wanted $wanted"
}

# The points to kill a command at: CALL N, from its first change on.
points() {
	awk '
		{ sub(/^[0-9]+ +/, ""); call = $0; sub(/\(.*/, "", call); n[call]++ }
		/BPF_MAP_UPDATE|BPF_MAP_DELETE|BPF_MAP_LOOKUP_AND_DELETE|BPF_LINK|BPF_OBJ_PIN|BPF_MAP_CREATE|BPF_PROG_LOAD/ { on = 1 }
		/^(unlink|rename|mkdir|rmdir|mount).* = 0$/ { on = 1 }
		on && /^[a-z]+\(/ { print call, n[call] }' "$1"
}

# scenario NAME UNDO COMMAND [FROM ADDRESS OLD NEW]: COMMAND is killed at each point; UNDO (lines of
# a batch, may fail) brings the old state back. Each scenario has its part of the time.
scenario() {
	local name=$1 undo=$2 command=$3 old new at at_once points=() point i=0 step=1 killed=0 bad='' end
	shift 3
	[ $# != 0 ] || set -- - - - -
	undo "$undo"
	old=$(view)
	# shellcheck disable=SC2086
	if ! at_once=$(x $command 2>&1); then
		not_ok "$name" "$command fails: $at_once"
		return
	fi
	new=$(view)
	[ "$old" != "$new" ] || [ -n "${SAME-}" ] || not_ok "$name" "changes nothing: $old"
	undo "$undo"
	[ "$(view)" = "$old" ] || not_ok "$name" "cannot be undone: $(view)"
	# shellcheck disable=SC2086
	must strace -f -o "$T/log" -e trace="$CALLS" "$XDPCTL" -n "$P-host" $command
	mapfile -t points < <(points "$T/log")
	end=$((SECONDS + share))
	# a stride through all of them, then the ones between, as time allows
	for step in 4 2 1; do
		for ((i = step == 4 ? 0 : step; i < ${#points[@]}; i += step == 4 ? 4 : 2 * step)); do
			[ $SECONDS -lt $end ] || [ $step = 4 ] || break 2
			point=${points[i]}
			undo "$undo"
			# shellcheck disable=SC2086
			(strace -f -o /dev/null -e trace="${point% *}" \
				-e inject="${point% *}:signal=SIGKILL:when=${point#* }" \
				"$XDPCTL" -n "$P-host" $command; true) >/dev/null 2>&1
			killed=$((killed + 1))
			at=$(view)
			if [ "$at" != "$old" ] && [ "$at" != "$new" ] && [ "$at" != "${between-}" ]; then
				bad+="$point: a mix: $(diff <(echo "$old") <(echo "$at"))"$'\n'
			else
				at_once="$(fits)$(traffic "$@")$(goes_on)"
				[ -z "$at_once" ] || bad+="$point: $at_once"$'\n'
			fi
		done
	done
	equal "$name: killed at $killed of ${#points[@]} points" "${bad:0:1200}" ""
}

undo() {
	echo "$1" | x --force -b - >/dev/null 2>&1
}

# Killed after a random time, again and again.
random() {
	local i line pid n=0 seen bad='' end=$((SECONDS + share * 2))
	local commands=('port add lan dev v1 vlan 7 mac 02:00:00:00:00:01 ip fd00::1' 'port add lan dev v1 hook xdp'
		'port set dev v1 hook xdp' 'port set dev v1 hook tc' 'port set dev v1 trunk 5-9 native 5 mac any'
		'port set dev v1 vlan 8 mac 02:00:00:00:00:0f,02:00:00:00:00:0e' 'port del dev v1'
		'network add wan mode bridge uplink nic0' 'network set wan uplink none'
		'network set wan uplink v2 ageing 60s' 'network set wan uplink nic0' 'network del wan'
		'fdb add 06:00:00:00:00:02 dev v1' 'fdb flush' "-b $T/batch")
	printf '%s\n' 'port add lan dev v1' 'port set dev v1 vlan 9 isolated on' \
		'fdb add 06:00:00:00:00:03 dev v1' 'port del dev v1' >"$T/batch"
	while [ $SECONDS -lt $end ]; do
		line=${commands[RANDOM % ${#commands[@]}]}
		# shellcheck disable=SC2086
		"$XDPCTL" -n "$P-host" $line >/dev/null 2>&1 &
		pid=$!
		sleep "0.0$((RANDOM % 3))$(printf '%03d' $((RANDOM % 1000)))"
		kill -9 $pid 2>/dev/null && n=$((n + 1))
		wait $pid 2>/dev/null
		seen=$(x port 2>&1 >/dev/null)$(fits)$(goes_on)
		[ -z "$seen" ] || bad+="$line: $seen"$'\n'
	done
	equal "random moments: $n killed" "${bad:0:1200}" ""
}

strace_works() {
	command -v strace >/dev/null || { echo "there is no strace" && return 1; }
	strace -o /dev/null -e trace=bpf -e inject=bpf:signal=SIGKILL:when=1 true 2>"$T/why" && return
	head -n 1 "$T/why"
	return 1
}

topology v1 v2 v3 v4
must x network add lan mode internal
must x port add lan dev v3
must x port add lan dev v4
# no answer is waited for because of an earlier one that did not come
for pair in "v1 3" "v3 1" "v2 200" "wire 2" "wire 100" "host 200"; do
	dev=eth0
	[ "${pair% *}" != host ] || dev=nic0
	must ip -n "$P-${pair% *}" neigh replace "10.0.0.${pair#* }" lladdr "$(mac "${pair#* }")" dev $dev
done
check "traffic before" pings v3 10.0.0.4
spawn v3 ping -i 0.01 10.0.0.4 >"$T/ping"
talk=$!

steps() {
	local m=02:00:00:00:00:01 n=02:00:00:00:00:11
	share=$((BUDGET / 20))
	scenario "port add" 'port del dev v1' "port add lan dev v1 mac $m" v1 10.0.0.3 no yes
	scenario "port add vlan, isolated" 'port del dev v1' 'port add lan dev v1 vlan 5 isolated on' v1 10.0.0.3 no no
	scenario "port add hook xdp" 'port del dev v1' 'port add lan dev v1 trunk 5-9 hook xdp'
	undo 'port add lan dev v1'
	scenario "port set vlan mac" 'port set dev v1 vlan none mac any' "port set dev v1 vlan 6 mac $m,$n" \
		v1 10.0.0.3 yes no
	scenario "port set trunk" 'port set dev v1 vlan 6 mac 02:00:00:00:00:12 group 0 fdb-max 0' \
		"port set dev v1 trunk 6,10-12 native 10 mac $m group 4 fdb-max 9"
	undo 'port set dev v1 trunk none group 0 fdb-max 0'
	scenario "port set mac" "port set dev v1 mac $m,$n" "port set dev v1 mac $n" v1 10.0.0.3 yes no
	scenario "port set ip" "port set dev v1 mac $m ip 10.0.0.1,10.9.0.0/16,fd00::1" \
		"port set dev v1 mac $m,$n ip 10.8.0.0/16,fd00::/64" v1 10.0.0.3 yes no
	undo 'port set dev v1 mac any ip any'
	scenario "port set hook xdp" 'port set dev v1 hook tc vlan none' 'port set dev v1 hook xdp vlan 3' \
		v1 10.0.0.3 yes no
	scenario "port set hook tc" 'port set dev v1 hook xdp vlan 3' 'port set dev v1 hook tc vlan none' \
		v1 10.0.0.3 no yes
	undo 'port del dev v1'
	scenario "port del" "port add lan dev v1 mac $m"$'\nfdb add 06:00:00:00:00:07 dev v1' \
		'port del dev v1' v1 10.0.0.3 yes no
	scenario "network add" 'network del wan' 'network add wan mode bridge uplink nic0 ageing 60s'
	undo $'network del wan\nnetwork add wan mode bridge'
	scenario "network set uplink" 'network set wan uplink none ageing none' \
		'network set wan uplink nic0 ageing 60s' host 10.0.0.200 yes yes
	scenario "network set another uplink" 'network set wan uplink nic0 ageing none fdb-max none' \
		'network set wan uplink v2 ageing 60s fdb-max 5' host 10.0.0.200 yes yes
	scenario "network set uplink none" 'network set wan uplink nic0 ageing none' \
		'network set wan uplink none ageing 60s' host 10.0.0.200 yes yes
	undo 'network del wan'
	scenario "network del" 'network add wan mode bridge uplink nic0' 'network del wan'
	undo $'network del wan\nport add lan dev v1'
	scenario "fdb add" 'fdb del 06:00:00:00:00:07' 'fdb add 06:00:00:00:00:07 dev v3'
	scenario "fdb del" 'fdb add 06:00:00:00:00:07 dev v3' 'fdb del 06:00:00:00:00:07'
	must reaches v1 10.0.0.3
	SAME=1 scenario "fdb flush" '' 'fdb flush'
	batch_steps
}

# A batch: each line is all or nothing, in their order.
batch_steps() {
	local back=$'fdb del 06:00:00:00:00:08\nport set dev v1 vlan none' between
	undo "$back"
	must x port set dev v1 vlan 9
	between=$(view)
	printf '%s\n' 'port set dev v1 vlan 9' 'fdb add 06:00:00:00:00:08 dev v1' >"$T/batch"
	scenario "a batch" "$back" "-b $T/batch"
}

# The whole switch: made by a first command, taken away by detach. Old: all that was; new: nothing.
whole() {
	local all=$'network add lan mode bridge uplink nic0\nport add lan dev v1 hook xdp\nport add lan dev v2 mac 02:00:00:00:00:02'
	goes_on() { [ "$at" = "$old" ] || [ "$at" = "$new" ] || echo "?"; }
	share=$((BUDGET / 8))
	scenario "the first command" 'detach' 'network add lan mode bridge uplink nic0' host 10.0.0.200 yes yes
	scenario "detach" "$all" 'detach' v2 10.0.0.200 yes no
	undo "$all"
	check "... and all can be made again" pings v2 10.0.0.200
	check "detach" x detach
	check_not "... leaves no pins" test -e "$(pins host)"
	equal "... and no XDP" "$(ip -n "$P-host" -j link | jq -c '[.[] | select(.xdp).ifname]')" '[]'
}

if why=$(strace_works); then steps; else skip "killed at each system call" "$why"; fi
share=$((BUDGET / 10))
random
check "the talk goes on" pings v3 10.0.0.4
kill -INT "$talk"
wait "$talk"
check "... and lost nothing" grep -q ' 0% packet loss' "$T/ping"
grep 'packet loss' "$T/ping" | sed 's/^/# /'
check "detach" x detach
check_not "... leaves no pins" test -e "$(pins host)"
[ -n "$why" ] || whole
finish

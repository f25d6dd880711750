# shellcheck shell=bash
# lib.sh - what the system tests share: namespaces of their own, a small topology,
# TAP output, and frames made to measure.
#
# A test sources this file, builds, checks, and ends with `finish`:
#
#     topology          host namespace, VM namespaces v1 v2 v3, a wire, addresses
#     x ARG...          xdpctl in the host namespace
#     ns NAME CMD...    a command in a namespace
#     check, json, ...  one TAP line each; what was seen follows a failed one
#     frame ...         sends a frame and looks at who gets it, byte for byte
#     down              takes the topology away again, to build another
#     finish            plan line and exit status
#
# Everything is named after the script and its pid, so scripts run side by side; the
# EXIT trap removes namespaces, processes, pins and files, whatever happened.
# XDPCTL names the binary to test (default: this tree's build/xdpctl).

set -u -o pipefail
shopt -s inherit_errexit 2>/dev/null

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
XDPCTL=$(realpath "${XDPCTL:-$HERE/../build/xdpctl}")
SCRIPT=$(basename "$0" .sh)
P=xt-$SCRIPT-$$ # prefix of namespaces
T=$(mktemp -d "${TMPDIR:-/tmp}/$P.XXXXXX")
LABEL=''        # put before each check's name: the variant that runs now
export XDPCTL P T

lib_spaces=() lib_pids=() lib_n=0 lib_failed=0 lib_done=0

# ---- TAP ----

# ok NAME; not_ok NAME [SEEN]; skip NAME REASON: one result.
ok() {
	echo "ok $((++lib_n)) - $LABEL$1"
}

not_ok() {
	echo "not ok $((++lib_n)) - $LABEL$1"
	((++lib_failed))
	[ -z "${2-}" ] || echo "#     ${2//$'\n'/$'\n'#     }"
}

skip() {
	echo "ok $((++lib_n)) - $LABEL$1 # SKIP $2"
}

# check NAME CMD...: passes when CMD does. check_not: passes when it fails.
check() {
	local name=$1 seen status
	shift
	seen=$("$@" 2>&1)
	status=$?
	if [ $status = 0 ]; then ok "$name"; else not_ok "$name" "$* => exit $status"$'\n'"$seen"; fi
}

check_not() {
	local name=$1 seen
	shift
	if seen=$("$@" 2>&1); then not_ok "$name" "$* => exit 0"$'\n'"$seen"; else ok "$name"; fi
}

# equal NAME SEEN WANTED
equal() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "seen:   $2"$'\n'"wanted: $3"; fi
}

# json NAME FILTER ARG...: whether jq -e FILTER holds for what xdpctl -j ARG... prints.
json() {
	local name=$1 filter=$2 seen
	shift 2
	if ! seen=$(x -j "$@" 2>&1); then
		not_ok "$name" "xdpctl -j $* failed: $seen"
	elif jq -e "$filter" <<<"$seen" >/dev/null 2>&1; then
		ok "$name"
	else
		not_ok "$name" "xdpctl -j $* | jq '$filter'"$'\n'"$seen"
	fi
}

# refused NAME STATUS TEXT ARG...: xdpctl ARG... ends with STATUS, one line on stderr with TEXT
# in it, nothing on stdout.
refused() {
	local name=$1 wanted=$2 text=$3 out status
	shift 3
	out=$(x "$@" 2>"$T/stderr")
	status=$?
	if [ $status = "$wanted" ] && [ -z "$out" ] && [ "$(wc -l <"$T/stderr")" = 1 ] &&
		grep -qF -- "$text" "$T/stderr"; then
		ok "$name"
	else
		not_ok "$name" "xdpctl $* => exit $status, wanted $wanted and \"$text\""$'\n'"$out$(cat "$T/stderr")"
	fi
}

# eventually NAME SECONDS CMD...: as check, but CMD may need a few tries.
eventually() {
	local name=$1 end=$((SECONDS + $2)) seen
	shift 2
	while ! seen=$("$@" 2>&1); do
		if [ $SECONDS -ge $end ]; then
			not_ok "$name" "$* still fails"$'\n'"$seen"
			return
		fi
		sleep 0.1
	done
	ok "$name"
}

# must CMD...: set-up that has to work; the script ends when it does not.
must() {
	local seen
	seen=$("$@" 2>&1) && return
	not_ok "set-up" "$* failed"$'\n'"$seen"
	exit 1
}

# sanitized: what follows runs with the sanitized build, if there is one; its reports are in
# $T/sanitizer* (unreported).
sanitized() {
	LABEL='sanitized: '
	XDPCTL=$(dirname "$XDPCTL")/sanitized/xdpctl
	[ ! -x "$XDPCTL" ] || return 0
	skip "all of it again" "there is no $XDPCTL (make sanitized)"
	return 1
}

unreported() {
	equal "no sanitizer report" "$(cat "$T"/sanitizer* 2>/dev/null | head -n 60)" ""
}

# Takes the topology away, prints the plan, exits.
finish() {
	down
	echo "1..$lib_n"
	lib_done=1
	exit $((lib_failed > 0))
}

# ---- namespaces and processes ----

# ns NAME CMD...: runs a command in a namespace.
ns() {
	local name=$1
	shift
	nsenter --net="/run/netns/$P-$name" "$@"
}

# spawn NAME CMD...: the same in the background; its pid is in $! and ends with the topology.
spawn() {
	local name=$1
	shift
	nsenter --net="/run/netns/$P-$name" "$@" &
	lib_pids+=($!)
}

# end PID: ends a process of spawn's and waits for it.
end() {
	local pid=$1
	[ "$(ps -o ppid= -p "$pid" 2>/dev/null | tr -d ' ')" != $BASHPID ] || kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	return 0
}

# xdpctl in the host namespace; x_in NAME: in another one.
x() {
	"$XDPCTL" -n "$P-host" "$@"
}

x_in() {
	local name=$1
	shift
	"$XDPCTL" -n "$P-$name" "$@"
}

# netns NAME: an empty namespace. Addresses are usable at once, and nobody talks unasked.
netns() {
	must ip netns add "$P-$1"
	lib_spaces+=("$1")
	must ip -n "$P-$1" link set lo up
	must ns "$1" sysctl -qw net.ipv6.conf.{all,default}.accept_dad=0 \
		net.ipv6.conf.default.router_solicitations=0 net.ipv4.ip_unprivileged_port_start=0
}

# The pins of a namespace's data plane.
pins() {
	echo "/sys/fs/bpf/xdpctl/$(stat -Lc %i "/run/netns/$P-$1")"
}

# Ends processes, detaches switches, deletes namespaces. Each switch must leave nothing.
down() {
	local pid name left
	frames_close
	for pid in ${lib_pids+"${lib_pids[@]}"}; do end "$pid"; done
	lib_pids=()
	for name in ${lib_spaces+"${lib_spaces[@]}"}; do
		left=$(pins "$name")
		if [ -e "$left" ]; then
			"$XDPCTL" -n "$P-$name" detach || not_ok "detach in $name"
			[ ! -e "$left" ] || not_ok "detach in $name leaves nothing" "$(ls "$left")"
		fi
		ip netns del "$P-$name"
	done
	lib_spaces=()
}

lib_exit() {
	local status=$?
	trap '' INT TERM HUP
	down
	rm -rf "$T"
	[ $lib_done = 1 ] || echo "Bail out! $SCRIPT ended early with status $status"
}
trap lib_exit EXIT
trap 'exit 130' INT TERM HUP

# ---- topology ----

#      VM namespaces            host namespace             wire namespace
#     v1 eth0 10.0.0.1 ──veth── v1 ┐
#     v2 eth0 10.0.0.2 ──veth── v2 ┼ switch ─ nic0 ──veth── eth0 10.0.0.200
#     v3 eth0 10.0.0.3 ──veth── v3 ┘  host's own 10.0.0.100
#
# IPv6 is fd00::N, an Ethernet address 02:00:00:00:00:NN (N in hexadecimal); mN means it.

mac() {
	printf '02:00:00:00:00:%02x' "$1"
}

# veth NAME N [DEV]: a namespace NAME whose eth0 has the addresses of N, with its other end
# DEV (default NAME) in the host namespace. Offloads stay as the kernel makes them.
veth() {
	netns "$1"
	must ip -n "$P-host" link add name "${3:-$1}" type veth peer name eth0 \
		address "$(mac "$2")" netns "$P-$1"
	must ip -n "$P-host" link set dev "${3:-$1}" up
	must ip -n "$P-$1" link set eth0 up
	must ip -n "$P-$1" address add "10.0.0.$2/24" dev eth0
	must ip -n "$P-$1" address add "fd00::$2/64" dev eth0 nodad
}

# topology [VM...]: a host, VMs (default v1 v2 v3), a wire behind the host's device nic0.
topology() {
	local vm n=0
	netns host
	[ $# != 0 ] || set -- v1 v2 v3
	for vm; do veth "$vm" $((++n)); done
	veth wire 200 nic0
	must ip -n "$P-host" link set nic0 address "$(mac 100)"
	must ip -n "$P-host" address add 10.0.0.100/24 dev nic0
	must ip -n "$P-host" address add fd00::100/64 dev nic0 nodad
}

# gro NAME...: lets eth0 of a namespace take frames that XDP sends to it.
gro() {
	local name
	for name; do must ns "$name" ethtool -K eth0 gro on; done
}

# tap NAME: a tap device in the host namespace, for `frame` or a real guest.
tap() {
	must ip -n "$P-host" tuntap add dev "$1" mode tap
	must ip -n "$P-host" link set dev "$1" up
}

# ---- traffic between real stacks ----

# pings FROM ADDRESS [OPT...]: one answer is enough (the first request may wait for ND).
pings() {
	local from=$1 address=$2
	shift 2
	ns "$from" ping -q -c 3 -i 0.05 -W 1 -w 3 "$@" "$address"
}

# silent FROM ADDRESS [OPT...]: nothing answers.
silent() {
	local from=$1 address=$2
	shift 2
	! ns "$from" ping -q -c 3 -i 0.05 -W 0.4 -w 1 "$@" "$address"
}

# listening NAME PORT: a TCP server is there.
listening() {
	local try
	for try in {1..50}; do
		[ -z "$(ns "$1" ss -Hltn "sport = :$2")" ] || return 0
		sleep 0.05
	done
	echo "nobody listens at port $2 (tried $try times)"
	return 1
}

# data MIB: a file of random octets.
data() {
	[ -e "$T/data$1" ] || head -c "$1M" /dev/urandom >"$T/data$1"
	echo "$T/data$1"
}

# transfer FROM TO ADDRESS [MIB]: a TCP stream that arrives as it was sent. ADDRESS is TO's.
transfer() {
	local from=$1 to=$2 address=$3 file family=4 server
	file=$(data "${4:-64}")
	[[ $address != *:* ]] || family=6
	spawn "$to" timeout 60 socat -u "TCP$family-LISTEN:5001,reuseaddr" STDOUT >"$T/received"
	server=$!
	listening "$to" 5001 || return 1
	if ! ns "$from" timeout 30 socat -u "FILE:$file" "TCP$family:[$address]:5001,connect-timeout=5"; then
		end "$server"
		echo "cannot be sent"
		return 1
	fi
	wait "$server"
	cmp "$file" "$T/received"
}

# No namespace of the topology got a wrong TCP or UDP checksum.
checksums_right() {
	local name seen=''
	for name in "${lib_spaces[@]}"; do
		seen+=$(ns "$name" nstat -asz TcpInCsumErrors UdpInCsumErrors Udp6InCsumErrors |
			awk -v "n=$name" '!/^#/ && $2 { print n, $1, $2 }')
	done
	[ -z "$seen" ] || { echo "$seen" && return 1; }
}

# drops DEV REASON: a counter of the port's. dropped_all REASON: of all ports together.
drops() {
	x -j stats dev "$1" | jq ".[0].drops.$2"
}

dropped_all() {
	x -j stats | jq "[.[] | .drops.$1] | add"
}

# ---- lists and connections ----

# lan HOOK: a topology of which all is in one network `lan`, parties for `frame`, and everybody
# has spoken, so that unicast is known.
lan() {
	local vm
	topology
	must x network add lan mode bridge uplink nic0
	must x port set dev nic0 hook "$1"
	for vm in v1 v2 v3; do must x port add lan dev $vm hook "$1"; done
	gro v1 v2 v3 wire
	frames v1 v2 v3 wire dev:nic0
	for vm in 1 2 3; do repeat v$vm 1 "bc m$vm 88b5"; done
	repeat wire 1 "bc m200 88b5"
	sleep 0.1
}

# rules {dev DEV | network NET} {in|out} RULE...: the whole list.
rules() {
	local on=("$1" "$2" "$3")
	shift 3
	printf '%s\n' "$@" >"$T/rules"
	must x acl load "${on[@]}" "$T/rules"
}

# clear_lists: no lists, policies, limits and connections any more.
clear_lists() {
	must x -b - <<-END
		$(for vm in v1 v2 v3 nic0; do printf 'acl del dev %s %s all\n' "$vm" in "$vm" out; done)
		acl del network lan in all
		acl del network lan out all
		$(printf 'port set dev %s policy-in allow policy-out allow conn-max none\n' v1 v2 v3)
		flow flush
	END
}

# flow_is NAME SPORT FILTER: the one connection that was opened from that port, by none of the
# addresses 10.9.1.N of floods.
flow_is() {
	json "$1" "map(select(.sport == $2 and (.src | startswith(\"10.9.1.\") | not))) | length == 1 and (.[0] | $3)" flow show
}

# ---- frames made to measure ----

# frames PARTY...: opens the ends that `frame` uses. A party is a namespace (its eth0), dev:NAME
# (what the host's stack gets by a device of its own and takes as meant for it: after TC, not
# before), all:NAME (all that passes a device of the host's, before TC) or tap:NAME (the VM's
# side of a tap).
#
# frame NAME FROM FRAME [TO[=FRAME]]...: FROM sends FRAME; exactly the parties TO get it,
# once, unchanged or as said. How a frame is written is in craft.py; the shortest is
#
#     DST SRC [TPID:TCI]... TYPE [+OCTETS]      TPID, TCI, TYPE in hexadecimal
#
# DST and SRC are addresses, or mN, or bc (broadcast), mc, mc6 (multicast). TYPE may be
# udp/SRC/DST (IPv4 or IPv6 by the addresses), llc (802.3 with the STP's header), or a packet:
# ip/SRC/DST tcp/SPORT/DPORT/FLAGS. Several frames have ';' between them.
#
# routed NAME FROM FRAME [TO=FRAME|TO=*]...: the same, where the source address may be another.
# *: whatever it gets.
# answer NAME FROM FRAME [FRAME]...: nobody gets FROM's frame; FROM gets exactly these answers.
# answers FROM COUNT FRAME: prints how many answers there are to a frame sent COUNT times.
# stream FROM TO SECONDS FRAME CMD...: FROM sends FRAME 2,000 times a second, each with a new
# port for `%`, while CMD runs; prints how many were sent and how many TO got, as "N/N" for each.
# flood FROM COUNT FRAME [CMD...]: COUNT frames, `%` counted up, while CMD runs.
# send FROM COUNT FRAME: COUNT frames, the source address counted up, nobody looks.
# repeat FROM COUNT FRAME: the same frame COUNT times, nobody looks.

frames() {
	local line
	[ -z "${lib_frames-}" ] || frames_close
	coproc LIB_FRAMES { exec /usr/bin/python3 "$HERE/craft.py" "$P" "$@" 2>"$T/frames"; }
	# shellcheck disable=SC2153
	lib_frames=$LIB_FRAMES_PID lib_in=${LIB_FRAMES[1]} lib_out=${LIB_FRAMES[0]}
	read -r line <&"$lib_out" && [ "$line" = ready ] && return
	not_ok "set-up" "frames: $(cat "$T/frames")"
	exit 1
}

frames_close() {
	[ -n "${lib_frames-}" ] || return 0
	exec {lib_in}>&-
	wait "$lib_frames" 2>/dev/null
	lib_frames=''
}

lib_ask() {
	local IFS='|' line='no answer'
	echo "$*" >&"$lib_in"
	read -r line <&"$lib_out"
	if [ -z "$line" ]; then cat "$T/frames"; else echo -e "$line"; fi
	[ "$line" = ok ]
}

frame() {
	local name=$1 seen
	shift
	if seen=$(lib_ask frame "$@"); then ok "$name"; else not_ok "$name" "$* =>"$'\n'"$seen"; fi
}

routed() {
	local name=$1 seen
	shift
	if seen=$(lib_ask routed "$@"); then ok "$name"; else not_ok "$name" "$* =>"$'\n'"$seen"; fi
}

answer() {
	local name=$1 seen
	shift
	if seen=$(lib_ask answer "$@"); then ok "$name"; else not_ok "$name" "$* =>"$'\n'"$seen"; fi
}

answers() {
	local seen
	seen=$(lib_ask answers "$@")
	echo "${seen#ok }"
}

stream() {
	local line
	echo "stream|$1|$2|$3|$4" >&"$lib_in"
	shift 4
	"$@"
	read -r line <&"$lib_out"
	echo "${line#ok }"
}

flood() {
	local line
	echo "flood|$1|$2|$3" >&"$lib_in"
	shift 3
	"$@"
	read -r line <&"$lib_out"
	must [ "$line" = ok ]
}

send() {
	must lib_ask send "$@"
}

repeat() {
	must lib_ask repeat "$@"
}

#!/bin/bash
# upgrade.sh - another build takes over a running switch: no frame is lost, state stays, old
# programs go, ageing goes on. A build with another map layout is refused.
#
#     v1 ── tc ──┐               numbered UDP packets v1 → v2 and v3 → wire all the while
#     v2 ── tc ──┼── nic0 ── wire
#     v3 ── xdp ─┘
# shellcheck disable=SC2317 # functions are called by check

# shellcheck source=selftests/lib.sh
. "$(dirname "$0")/lib.sh"

# A build of the same sources with another version and other programs, in $NEWER.
build() {
	local file
	mkdir "$T/copy"
	cp -r "$HERE"/../{Makefile,bpf,loader,maps} "$T/copy" || return
	# a helper call that changes nothing but the programs
	for file in "$T"/copy/bpf/{tc,xdp}.bpf.c; do
		sed -i '/^int xdpctl_/,/^{/ s/^{$/{\n\tbpf_get_smp_processor_id();\n/' "$file"
	done
	make -s -j2 -C "$T/copy" VERSION=9.9.9 build/xdpctl >"$T/make" 2>&1 || { tail -n 20 "$T/make" && return 1; }
	NEWER=$T/copy/build/xdpctl
}

newer() {
	"$NEWER" -n "$P-host" "$@"
}

# A pin's or link's number of its program; XDP as the device has it.
programs() {
	local pin
	for pin in "$(pins host)"/link_*; do
		bpftool link show pinned "$pin" | sed -n 's/.* prog \([0-9]*\).*/\1/p'
	done
	ip -n "$P-host" -d link | sed -nE 's/.*prog\/xdp id ([0-9]+).*/\1/p'
}

map_ids() {
	local pin
	for pin in "$(pins host)"/*; do
		bpftool -j map show pinned "$pin" 2>/dev/null | jq '.id // empty' 2>/dev/null
	done
}

# All programs that use our maps, attached or not.
using() {
	bpftool -j prog show | jq -c --argjson m "$(map_ids | jq -sc .)" \
		'[.[] | select(.map_ids - $m != .map_ids).id] | sort'
}

# none_of LIST: no program of the list is loaded.
none_of() {
	local now
	now=$(bpftool -j prog show | jq -c 'map(.id)')
	jq -en --argjson old "$1" --argjson now "$now" '$old - $now == $old'
}

state() {
	printf '%s\n' 'network show' 'port show' 'fdb show' | "$1" -n "$P-host" -j -b - |
		jq -cS '[.[2] |= map(select(.state == "static")) | .[][]]'
}

# A stream of numbered packets. stream_send FROM ADDRESS: until it is ended.
STREAM='
import signal, socket, struct, sys, time
going = True
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
n = 0
if sys.argv[1] == "send":
    start = time.monotonic()
    while going:
        due = int((time.monotonic() - start) * 2000)
        for n in range(n, min(due, n + 50)):
            s.sendto(struct.pack("!Q", n) + bytes(200), (sys.argv[2], 6000))
            n += 1
        time.sleep(0.0005)
    print(n)
else:
    s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
    s.bind(("", 6000))
    s.settimeout(0.2)
    seen, twice = set(), 0
    print("ready", flush=True)
    while going:
        try:
            number = struct.unpack("!Q", s.recv(2000)[:8])[0]
        except socket.timeout:
            continue
        twice += number in seen
        seen.add(number)
    print(len(seen), max(seen, default=-1) + 1, twice)
'

# streams: starts v1 → v2 and v3 → wire.
streams() {
	senders=() receivers=()
	local to
	for to in v2 wire; do
		spawn $to /usr/bin/python3 -c "$STREAM" receive >"$T/received-$to"
		receivers+=($!)
		until grep -q ready "$T/received-$to"; do sleep 0.05; done
	done
	spawn v1 /usr/bin/python3 -c "$STREAM" send 10.0.0.2 >"$T/sent-v2"
	senders+=($!)
	spawn v3 /usr/bin/python3 -c "$STREAM" send 10.0.0.200 >"$T/sent-wire"
	senders+=($!)
	sleep 0.3
}

# arrived NAME: ends the streams; all that was sent arrived once.
arrived() {
	local pid to
	for pid in "${senders[@]}"; do end "$pid"; done
	sleep 0.5
	for pid in "${receivers[@]}"; do end "$pid"; done
	for to in v2 wire; do
		equal "$1: every packet to $to arrived, once" "$(tail -n 1 "$T/received-$to")" \
			"$(cat "$T/sent-$to") $(cat "$T/sent-$to") 0"
		echo "# $(cat "$T/sent-$to") packets"
	done
}

# sets_layout N: the running switch says that its maps have that layout.
sets_layout() {
	local octets
	octets=$(bpftool -j map lookup pinned "$(pins host)/meta" key 0 0 0 0 | jq -r '.value[4:] | join(" ")')
	# shellcheck disable=SC2086
	bpftool map update pinned "$(pins host)/meta" key 0 0 0 0 value "$1" 0 0 0 $octets
}

topology
if ! why=$(build); then
	not_ok "a second build" "$why"
	finish
fi
NEWER=$T/copy/build/xdpctl
equal "the other build's version" "$("$NEWER" -V)" "xdpctl 9.9.9"

must x network add lan mode bridge uplink nic0 ageing 60s
must x port add lan dev v1 mac "$(mac 1)"
must x port add lan dev v2 fdb-max 9
must x port add lan dev v3 hook xdp
must x port set dev nic0 fdb-max 500
gro v3
must x fdb add 06:00:00:00:00:01 dev v2
must pings v1 10.0.0.2
must pings v3 10.0.0.200
must ns host "$HERE/../build/helpers/flow_fill" fill lan v1 v2 1000 100 0

before=$(state "$XDPCTL")
old=$(programs)
old_all=$(using)
maps=$(map_ids)
equal "the other build reads the running switch" "$(state "$NEWER")" "$before"
equal "... and replaces nothing by that" "$(programs)" "$old"
json "status: whose programs" '.version == .programs' status

streams
check "a change by the other build" newer fdb add 06:00:00:00:00:02 dev v2
new=$(programs)
equal "... replaces the programs of every port" "$(comm -12 <(sort -u <<<"$old") <(sort -u <<<"$new"))" ""
equal "... and leaves none out" "$(wc -l <<<"$new")" "$(wc -l <<<"$old")"
check "... takes it away again" newer fdb del 06:00:00:00:00:02
equal "... not twice" "$(programs)" "$new"
check "and back to the first build" x fdb add 06:00:00:00:00:02 dev v2
check "and again" newer fdb del 06:00:00:00:00:02
for _ in 1 2 3 4; do
	must x port set dev v2 fdb-max 9
	must newer port set dev v2 fdb-max 9
done
arrived "ten take-overs"
equal "settings and static addresses are kept" "$(state "$NEWER")" "$before"
equal "learned ones, too" "$(newer -j fdb show dev nic0 | jq -r '.[] | select(.state == "dynamic").mac')" "$(mac 200)"
equal "connections, too" "$(newer -j flow count | jq -c '[.count, .half_open]')" "[1100,100]"
equal "the maps are the same" "$(map_ids)" "$maps"
eventually "no program of the first build is left" 10 none_of "$old_all"
equal "status: whose programs, now" "$(newer -j status | jq -r .programs)" "9.9.9"
equal "... and what the first build says" "$(x -j status | jq -r '.version == .programs')" "false"
check "traffic after it" pings v1 10.0.0.200
check "... XDP" pings v3 10.0.0.2
check "... host" pings host 10.0.0.1

# Ageing: what was learned before and after is forgotten, and its room is given back.
entries() {
	[ "$(bpftool map dump pinned "$(pins host)/fdb" | grep -c '"key":')" = "$1" ] ||
		{ bpftool map dump pinned "$(pins host)/fdb" | grep -A6 '"key":'; return 1; }
}

must newer network set lan ageing 1s
for vm in v1 v2 v3 wire; do
	must ns $vm ip link set eth0 arp off # be silent
done
eventually "ageing goes on" 20 entries 2
for vm in v1 v2 v3 wire; do must ns $vm ip link set eth0 arp on; done
must pings v3 10.0.0.200
eventually "... with what is learned since" 20 entries 2
must newer network set lan ageing 60s

# A build that dies in the middle of it.
if command -v strace >/dev/null; then
	must x port set dev v2 fdb-max 9
	must strace -f -o "$T/log" -e trace=bpf "$NEWER" -n "$P-host" port set dev v2 fdb-max 9
	must x port set dev v2 fdb-max 9
	last=$(grep -c 'bpf(' "$T/log")
	streams
	bad=''
	for ((at = last / 3; at <= last; at += 5)); do
		(strace -f -o /dev/null -e trace=bpf -e "inject=bpf:signal=SIGKILL:when=$at" \
			"$NEWER" -n "$P-host" port set dev v2 fdb-max 9; true) >/dev/null 2>&1
		seen=$(x -j port 2>&1 >/dev/null; x port set dev v2 fdb-max 9 2>&1)
		[ -z "$seen" ] || bad+="$at: $seen; "
	done
	arrived "killed in the middle"
	equal "... the first build goes on" "$bad" ""
	equal "... as it was" "$(state "$XDPCTL")" "$before"
else
	skip "killed in the middle" "there is no strace"
fi

# Another layout
layout=$(bpftool -j map lookup pinned "$(pins host)/meta" key 0 0 0 0 | jq -r '.value[0]' | xargs printf '%d')
seen=$(programs)
must sets_layout 99
refused "another layout: a change" 1 "layout 99" port set dev v1 fdb-max 5
refused "another layout: a look" 1 "layout 99" port show
refused "another layout: detach" 1 "layout 99" detach
refused "another layout: the first command" 1 "layout 99" network add x mode internal
equal "... nothing is replaced" "$(programs)" "$seen"
check "... traffic goes on" pings v1 10.0.0.2
check "... to the wire" pings v3 10.0.0.200
must sets_layout "$layout"
check "and with the right one it can be changed" x port set dev v1 fdb-max 5
check "detach by the other build" newer detach
check_not "... leaves no pins" test -e "$(pins host)"
finish

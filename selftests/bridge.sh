#!/bin/bash
# bridge.sh - a network of mode bridge: VMs, the wire and the host itself on one LAN, with
# the hooks tc and xdp.
#
#     VM namespaces             host namespace                  wire namespace
#     v1 eth0 10.0.0.1 ──veth── v1 ┐
#     v2 eth0 10.0.0.2 ──veth── v2 ┼ lan (bridge) ─ nic0 ─veth─ eth0 10.0.0.200
#     v3 eth0 10.0.0.3 ──veth── v3 ┘   host: 10.0.0.100 on nic0
#                                      mv: macvlan on nic0, 10.0.0.50, in a namespace
#
# All have fd00::N too. Offloads are what the kernel gives a veth, unless a check says otherwise.

# shellcheck disable=SC2317 # functions that check and eventually call
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

addresses() {
	ip -n "$P-host" -j address show dev nic0 | jq -S '.[0] | del(.mtu) | {ifname, flags, address, addr_info, operstate}'
	ip -n "$P-host" route show table all
	ip -n "$P-host" -6 route show table all
	ip -n "$P-host" -j link | jq '[.[].ifname]'
}

# answers NAME DEV ADDRESS: how many answers one ping to a group gets, its sender's included.
answers() {
	local options=()
	[[ $3 == *:* ]] || options=(-b)
	ns "$1" ping ${options+"${options[@]}"} -n -c 3 -i 0.3 -w 2 -I "$2" "$3" 2>/dev/null |
		grep -c 'icmp_seq=1 '
}

# Frames that XDP redirected, at all ports.
redirected() {
	local dev
	for dev in v1 v2 v3 nic0; do ns host ethtool -S $dev; done |
		awk -F: '/rx_queue_[0-9]+_xdp_redirect:/ { n += $2 } END { print n + 0 }'
}

# stream FROM TO ADDRESS PORT: sends until $T/stop is there, in the background.
stream() {
	spawn "$2" socat -u "TCP4-LISTEN:$4,reuseaddr" "CREATE:$T/stream$4"
	must listening "$2" "$4"
	(
		n=0
		while [ ! -e "$T/stop" ]; do
			cat "$(data 1)"
			echo $((++n)) >"$T/sent$4"
			sleep 0.02
		done | ns "$1" socat -u STDIN "TCP4:$3:$4"
	) &
	lib_pids+=($!)
}

streamed() {
	local n size
	n=$(cat "$T/sent$1")
	size=$(stat -c %s "$T/stream$1")
	[ "$size" = $((n << 20)) ] || { echo "$size octets of $n MiB" && return 1; }
	for ((; n > 0; n--)); do cat "$T/data1"; done | cmp - "$T/stream$1"
}

learn_all() {
	local name
	for name in v1 v2 v3; do pings wire 10.0.0.${name#v}; done >/dev/null
	pings host 10.0.0.200 >/dev/null
}

unicast() {
	local pair from to n
	for pair in v1:v2:2 v2:v3:3 v1:wire:200 wire:v1:1 host:v1:1 v1:host:100 host:wire:200 wire:host:100; do
		IFS=: read -r from to n <<<"$pair"
		check "ping $from -> $to" pings "$from" "10.0.0.$n"
		check "ping $from -> $to, IPv6" pings "$from" "fd00::$n"
	done
	check "ARP found the VM's own address" sh -c "ip -n $P-v1 neigh show 10.0.0.2 | grep -q $(mac 2)"
	check "ND found the VM's own address" sh -c "ip -n $P-v1 neigh show fd00::2 | grep -q $(mac 2)"
	check "the host has its own address" sh -c "ip -n $P-v1 neigh show 10.0.0.100 | grep -q $(mac 100)"
}

groups() {
	local name
	frames v1 v2 v3 wire dev:nic0
	for name in bc mc mc6; do
		frame "$name from a VM" v1 "$name m1 88b5" v2 v3 wire dev:nic0
		frame "$name from the wire" wire "$name m200 88b5" v1 v2 v3 dev:nic0
		frame "$name from the host" dev:nic0 "$name m100 88b5" v1 v2 v3 wire
	done
	frame "known unicast" v1 "m2 m1 88b5" v2
	frame "known unicast, UDP" v1 "m2 m1 udp/10.0.0.1/10.0.0.2 +300" v2
	frame "known unicast, UDP over IPv6" wire "m1 m200 udp/fd00::200/fd00::1" v1
	frame "to the host" v1 "m100 m1 88b5" dev:nic0
	frame "unknown unicast goes to VMs and the wire" v1 "02:aa:00:00:00:01 m1 88b5" v2 v3 wire
	frame "unknown unicast from the wire" wire "02:aa:00:00:00:01 m200 88b5" v1 v2 v3
	frame "unknown unicast from the host" dev:nic0 "02:aa:00:00:00:01 m100 88b5" v1 v2 v3 wire
	frame "the wire's own traffic stays there" wire "02:bb:00:00:00:01 02:bb:00:00:00:02 88b5" v1 v2 v3
	frame "likewise, once known" wire "02:bb:00:00:00:02 m200 88b5"
	frame "a source that is a group is dropped" v1 "m2 03:00:00:00:00:01 88b5"
	json "and counted" '.[0].drops.bad_source == 1' stats dev v1
	frames_close
	for name in v1 v2 v3 host wire; do
		must ns $name sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0
	done
	equal "a VM's ping to ff02::1: each answers once" "$(answers v1 eth0 ff02::1)" 5
	equal "the wire's ping to ff02::1: each answers once" "$(answers wire eth0 ff02::1)" 5
	equal "the host's ping to ff02::1: each answers once" "$(answers host nic0 ff02::1)" 5
	equal "a VM's broadcast ping: each answers once" "$(answers v1 eth0 10.0.0.255)" 5
	equal "the wire's broadcast ping: each answers once" "$(answers wire eth0 10.0.0.255)" 5
	equal "the host's broadcast ping: each answers once" "$(answers host nic0 10.0.0.255)" 5
}

transfers() {
	check "64 MiB VM -> VM" transfer v1 v2 10.0.0.2
	check "64 MiB VM -> VM, IPv6" transfer v2 v1 fd00::1
	check "64 MiB host -> VM" transfer host v1 10.0.0.1
	check "64 MiB VM -> host" transfer v1 host 10.0.0.100
	check "64 MiB host -> VM, IPv6" transfer host v1 fd00::1
	check "64 MiB VM -> host, IPv6" transfer v1 host fd00::100
	check "64 MiB VM -> wire" transfer v1 wire 10.0.0.200
	check "64 MiB wire -> VM, IPv6" transfer wire v1 fd00::1
	check "64 MiB host -> wire" transfer host wire 10.0.0.200
	check "no wrong checksum anywhere" checksums_right
}

# unfinished: v1 sends v2 a packet in UDP, to no tunnel's port; the datagram has its checksum, the
# packet's is left to the hardware. Prints whether it still is at v2: the flags of virtio's header.
unfinished() {
	/usr/bin/python3 - "$P" <<-'END'
		import ctypes, socket, struct, sys, time
		def end(space):
		    with open(f"/run/netns/{sys.argv[1]}-{space}") as there:
		        assert ctypes.CDLL(None).setns(there.fileno(), 0x40000000) == 0
		    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
		    s.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
		    s.bind(("eth0", 3))
		    s.settimeout(2)
		    return s
		sender, receiver = end("v1"), end("v2")
		inner = bytes.fromhex("450000280000000040060000" "c0000201" "c0000202" "0400005000000000000000005010ffff1234") + b"unfinished"
		udp = struct.pack(">HHHH", 1024, 9999, 8 + len(inner), 0x5555) + inner
		ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
		frame = bytes.fromhex("020000000002" "020000000001" "0800") + ip + udp
		sender.send(struct.pack("=BBHHHH", 1, 0, 0, 0, 14 + 28 + 20, 16) + frame)
		until = time.monotonic() + 2
		while time.monotonic() < until:
		    got = receiver.recv(2048)
		    if got.endswith(b"unfinished"):
		        print(got[0])
		        break
	END
}

# What XDP redirects, and what it must leave to TC.
by_xdp() {
	local before
	before=$(redirected)
	check "peers without GRO: VM -> VM" pings v1 10.0.0.2
	equal "XDP sent nothing to devices that would drop it" "$(redirected)" "$before"
	gro v1 v2 v3 wire
	must x status
	check "with GRO: VM -> VM" pings v1 10.0.0.2
	check "pings are XDP's" test $(($(redirected) - before)) -ge 6
	before=$(redirected)
	check "IPv6: VM -> wire" pings v1 fd00::200
	check "pings to the wire are XDP's" test $(($(redirected) - before)) -ge 6
	must ns v1 ethtool -K eth0 tx off
	must ns v2 ethtool -K eth0 tx off
	before=$(redirected)
	check "64 MiB VM -> VM, no offloads" transfer v1 v2 10.0.0.2
	check "whole frames are XDP's" test $(($(redirected) - before)) -ge 10000
	must ns v1 ethtool -K eth0 tx on
	check "64 MiB VM -> VM, offloads at one end" transfer v1 v2 fd00::2
	must ns v2 ethtool -K eth0 tx on
	check "no wrong checksum anywhere" checksums_right
	equal "an unfinished checksum in a tunnel that nobody knows is TC's" "$(unfinished)" 1
	must ns v2 ethtool -K eth0 gro off
	must x status
	check "GRO off again, and the command line has looked" pings v1 10.0.0.2
	must ns v2 ethtool -K eth0 gro on
	must x status
}

macvlan() {
	netns mv
	must ip -n "$P-host" link add mv0 link nic0 type macvlan mode bridge
	must ip -n "$P-host" link set mv0 netns "$P-mv" name eth0 address "$(mac 50)"
	must ip -n "$P-mv" link set eth0 up
	must ip -n "$P-mv" address add 10.0.0.50/24 dev eth0
	must ip -n "$P-mv" address add fd00::50/64 dev eth0 nodad
	check "VM -> macvlan on the uplink" pings v1 10.0.0.50
	check "macvlan -> VM" pings mv 10.0.0.2
	check "VM -> macvlan, IPv6" pings v3 fd00::50
	check "macvlan -> VM, IPv6" pings mv fd00::1
	check "wire -> macvlan" pings wire 10.0.0.50
	check "macvlan -> wire" pings mv fd00::200
	check "64 MiB VM -> macvlan" transfer v1 mv 10.0.0.50
	check "64 MiB macvlan -> VM" transfer mv v1 fd00::1
	check "no wrong checksum anywhere" checksums_right
	json "its address is known behind the uplink" \
		'any(.[]; .mac == "02:00:00:00:00:32" and .dev == "nic0")' fdb show network lan
}

# Attaching and detaching, under the host's own connections.
no_loss() {
	local before vm round
	topology
	before=$(addresses)
	rm -f "$T/stop"
	stream host wire 10.0.0.200 6001
	stream wire host 10.0.0.100 6002
	for round in 1 2; do
		must x network add lan mode bridge uplink nic0
		must x port set dev nic0 hook "$1"
		for vm in v1 v2 v3; do must x port add lan dev $vm hook "$1"; done
		equal "round $round: the uplink keeps addresses and routes" "$(addresses)" "$before"
		check "round $round: VM -> wire" pings v1 10.0.0.200
		check "round $round: VM -> host" pings v2 10.0.0.100
		stream host v1 10.0.0.1 600$((round * 2 + 1))
		stream v1 host 10.0.0.100 600$((round * 2 + 2))
		must x port del dev v2
		must x port del dev v3
		must x port add lan dev v3 hook "$1"
		must x port del dev v3
		touch "$T/stop"
		eventually "round $round: host -> VM lost nothing" 10 streamed 600$((round * 2 + 1))
		eventually "round $round: VM -> host lost nothing" 10 streamed 600$((round * 2 + 2))
		[ $round = 2 ] || rm "$T/stop"
		must x network set lan uplink none
		check "round $round: no uplink, no wire" silent v1 10.0.0.200
		must x network set lan uplink nic0
		check "round $round: uplink again, wire again" pings v1 10.0.0.200
		must x detach
		equal "round $round: after detach too" "$(addresses)" "$before"
		check "round $round: VMs are cut off" silent v1 10.0.0.200
	done
	eventually "host -> wire lost nothing meanwhile" 10 streamed 6001
	eventually "wire -> host lost nothing meanwhile" 10 streamed 6002
	down
}

# The ways into a namespace, and a network that gets its uplink later.
by_exec() {
	local pins
	topology
	check "ip netns exec: network add" ip netns exec "$P-host" "$XDPCTL" network add lan mode bridge
	check "ip netns exec: port add" ip netns exec "$P-host" "$XDPCTL" port add lan dev v1
	must x port add lan dev v2
	equal "ip netns exec sees what -n made" \
		"$(ip netns exec "$P-host" "$XDPCTL" -j port show)" "$(x -j port show)"
	pins=$(pins host)
	equal "status says where the pins are" "$(x -j status | jq -r .pins)" "$pins"
	equal "ip netns exec: the same" "$(ip netns exec "$P-host" "$XDPCTL" -j status | jq -r .pins)" "$pins"
	check "bpftool finds them there" bpftool map dump pinned "$pins/fdb"
	check "without an uplink VMs reach each other" pings v1 10.0.0.2
	check "but not the wire" silent v1 10.0.0.200
	check "and not the host" silent v1 10.0.0.100
	must ip netns exec "$P-host" "$XDPCTL" network set lan uplink nic0
	json "it has an uplink now" '.[0].uplink == "nic0" and (.[0].ports | sort) == ["nic0", "v1", "v2"]' network show lan
	eventually "the wire" 5 pings v1 10.0.0.200 # the ARP of before may fail first
	check "the host" pings v1 fd00::100
	refused "an uplink is not deleted as a port" 1 nic0 port del dev nic0
	refused "an uplink is never isolated" 1 nic0 port set dev nic0 isolated on
	refused "an uplink is no VM port" 1 nic0 port add lan dev nic0
	check "ip netns exec: detach" ip netns exec "$P-host" "$XDPCTL" detach
	check_not "nothing is left" test -e "$pins"
	down
}

for hook in tc xdp; do
	LABEL="$hook: "
	topology
	must x network add lan mode bridge uplink nic0
	must x port set dev nic0 hook $hook
	for vm in v1 v2 v3; do must x port add lan dev $vm hook $hook; done
	json "status names the hook" ".ports | length == 4 and all(.[]; .hook | startswith(\"$hook\"))" status
	learn_all
	[ $hook = tc ] || by_xdp
	unicast
	groups
	transfers
	macvlan
	json "counters went up" 'all(.[]; .rx_packets > 0 and .tx_packets > 0 and .rx_bytes > .rx_packets)' stats
	check "stats reset" x stats reset
	json "and start anew" '.[0] | .rx_packets == 0 and .drops.bad_source == 0' stats dev v3
	down
	no_loss $hook
done
LABEL=
by_exec
finish

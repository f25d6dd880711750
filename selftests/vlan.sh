#!/bin/bash
# vlan.sh - access, trunk, native and transparent ports: which frames get where, with which
# tag, byte for byte; with the hooks tc and xdp.
#
#     a  vlan 10                       ┐
#     b  vlan 10                       │
#     c  vlan 20                       ┼ lan (bridge) ─ nic0 ── wire, and the host:
#     t  trunk 10,20,100-199           │    transparent at first, later trunk and access
#     n  trunk 10, native 20           │
#     x  transparent                   ┘
#
# The VMs are 10.0.0.1 to .6 and fd00::1 to ::6 in this order. In the last part t is not a VM
# but another host with a switch of its own, whose frames carry their tag as metadata, the
# way that a VLAN device sends them:
#
#     e 10.0.0.7 ──veth── e1 vlan 10 ─ edge (bridge) ─ eth0 trunk 10,20 ──veth── t
#     f 10.0.0.8 ──veth── f1 vlan 20 ┘

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# dropped NAME FROM FRAME REASON: nobody gets it, and FROM's counter says why.
dropped() {
	local before after
	before=$(drops "$2" "$4")
	frame "$1: nobody gets it" "$2" "$3"
	after=$(drops "$2" "$4")
	if [ "$after" -gt "$before" ]; then ok "$1: $4"; else not_ok "$1: $4" "$before, then $after"; fi
}

# introduce [PARTY:N:VID]...: parties speak, so that unicast is known.
introduce() {
	local from n vid
	for from; do
		IFS=: read -r from n vid <<<"$from"
		repeat "$from" 1 "bc m$n ${vid:+8100:$vid} 88b5"
	done
	sleep 0.1
}

# The tag of a frame from each kind of port to each, by broadcast; all:nic0 is the host, with
# the tag as it is on the uplink.
access() {
	frame "access -> its VLAN, untagged and tagged" a "bc m1 88b5" \
		b "t=bc m1 8100:000a 88b5" "n=bc m1 8100:000a 88b5" "x=bc m1 8100:000a 88b5" \
		"wire=bc m1 8100:000a 88b5" "all:nic0=bc m1 8100:000a 88b5"
	frame "access, own VID: priority and DEI are kept" a "bc m1 8100:700a 88b5" \
		"b=bc m1 88b5" t n x wire all:nic0
	frame "access, priority tag" a "bc m1 8100:6000 88b5" \
		"b=bc m1 88b5" "t=bc m1 8100:600a 88b5" "n=bc m1 8100:600a 88b5" "x=bc m1 8100:600a 88b5" \
		"wire=bc m1 8100:600a 88b5" "all:nic0=bc m1 8100:600a 88b5"
	frame "access -> access, unicast" a "m2 m1 udp/10.0.0.1/10.0.0.2" b
	frame "access -> trunk, unicast" a "m4 m1 udp/fd00::1/fd00::4" "t=m4 m1 8100:000a udp/fd00::1/fd00::4"
	frame "access -> wire, unicast" a "m199 m1 88b5" "wire=m199 m1 8100:000a 88b5"
	dropped "access, another VID" a "bc m1 8100:0014 88b5" vlan_tagged
	dropped "access, S-tag" a "bc m1 88a8:000a 88b5" vlan_tagged
	dropped "access, a tag in its own tag" a "bc m1 8100:000a 8100:0014 88b5" double_tag
	dropped "access, a tag in a priority tag" a "bc m1 8100:0000 8100:0014 88b5" double_tag
	frame "the other VLAN" c "bc m3 88b5" \
		"t=bc m3 8100:0014 88b5" "n=bc m3 88b5" "x=bc m3 8100:0014 88b5" \
		"wire=bc m3 8100:0014 88b5" "all:nic0=bc m3 8100:0014 88b5"
	frame "an address of another VLAN is unknown in this one" c "m1 m3 88b5" \
		"t=m1 m3 8100:0014 88b5" "n=m1 m3 88b5" "x=m1 m3 8100:0014 88b5" "wire=m1 m3 8100:0014 88b5"
}

trunk() {
	frame "trunk, VLAN 10" t "bc m4 8100:600a 88b5" "a=bc m4 88b5" "b=bc m4 88b5" n x wire all:nic0
	frame "trunk, VLAN 20: untagged where it is native" t "bc m4 8100:f014 88b5" \
		"c=bc m4 88b5" "n=bc m4 88b5" x wire all:nic0
	frame "trunk, a VLAN that no other port lists" t "bc m4 8100:0064 88b5" x wire all:nic0
	frame "trunk -> access, unicast" t "m1 m4 8100:e00a udp/10.0.0.4/10.0.0.1" "a=m1 m4 udp/10.0.0.4/10.0.0.1"
	frame "trunk -> trunk, unicast" t "m5 m4 8100:300a udp/10.0.0.4/10.0.0.5" n
	frame "trunk -> native, unicast" t "m5 m4 8100:3014 88b5" "n=m5 m4 88b5"
	dropped "trunk, untagged" t "bc m4 88b5" vlan_untagged
	dropped "trunk, priority tag" t "bc m4 8100:6000 88b5" vlan_untagged
	dropped "trunk, a VID that it does not carry" t "bc m4 8100:0005 88b5" vlan_not_member
	dropped "trunk, the first VID after its range" t "bc m4 8100:00c8 88b5" vlan_not_member
	dropped "trunk, VID 4095" t "bc m4 8100:0fff 88b5" vlan_not_member
	dropped "trunk, S-tag" t "bc m4 88a8:000a 88b5" vlan_tagged
	frame "trunk, two tags: not where the inner one would show" t "bc m4 8100:000a 8100:0014 88b5" n x wire all:nic0
	frame "native, untagged" n "bc m5 88b5" \
		"c=bc m5 88b5" "t=bc m5 8100:0014 88b5" "x=bc m5 8100:0014 88b5" \
		"wire=bc m5 8100:0014 88b5" "all:nic0=bc m5 8100:0014 88b5"
	frame "native, priority tag" n "bc m5 8100:e000 88b5" \
		"c=bc m5 88b5" "t=bc m5 8100:e014 88b5" "x=bc m5 8100:e014 88b5" \
		"wire=bc m5 8100:e014 88b5" "all:nic0=bc m5 8100:e014 88b5"
	frame "native, tagged with it" n "bc m5 8100:2014 88b5" "c=bc m5 88b5" t x wire all:nic0
	frame "native, unicast" n "m4 m5 88b5" "t=m4 m5 8100:0014 88b5"
	frame "native, two tags, the outer one native: likewise" n "bc m5 8100:0014 8100:000a 88b5" t x wire all:nic0
}

transparent() {
	frame "transparent, untagged" x "bc m6 88b5" wire dev:nic0 all:nic0
	frame "transparent, VLAN 10" x "bc m6 8100:000a 88b5" "a=bc m6 88b5" "b=bc m6 88b5" t n wire all:nic0
	frame "transparent, VLAN 20" x "bc m6 8100:6014 88b5" "c=bc m6 88b5" t "n=bc m6 88b5" wire all:nic0
	frame "transparent, any VLAN" x "bc m6 8100:0fa0 88b5" wire all:nic0
	frame "transparent, VID 0 and its priority" x "bc m6 8100:a000 88b5" wire all:nic0 "dev:nic0=bc m6 88b5"
	frame "transparent, VID 0, unicast" x "m200 m6 8100:a000 88b5" wire
	frame "transparent <- wire, VID 0" wire "bc m200 8100:2000 88b5" x all:nic0 "dev:nic0=bc m200 88b5"
	frame "transparent -> access, unicast" x "m1 m6 8100:000a 88b5" "a=m1 m6 88b5"
	frame "access -> transparent, unicast" b "m6 m2 88b5" "x=m6 m2 8100:000a 88b5"
	frame "QinQ, S-tag" x "m200 m6 88a8:0064 8100:000a 88b5" wire
	frame "QinQ, C-tags" x "bc m6 8100:0fa0 8100:000a 88b5" wire all:nic0
	frame "QinQ, three tags" x "bc m6 88a8:6064 8100:000a 8100:0014 88b5" wire all:nic0
	frame "QinQ from the wire" wire "bc m200 88a8:e064 8100:000a 88b5" x all:nic0
	frame "MPLS" x "m200 m6 8847" wire
	frame "MPLS, tagged, from the wire" wire "bc m200 8100:0fa1 8847" x all:nic0
	frame "PPPoE" x "bc m6 8864" wire all:nic0
	frame "an unknown ethertype" x "m200 m6 9abc +1000" wire
	frame "an unknown ethertype, tagged" x "m200 m6 8100:0123 9abc +700" wire
	frame "802.3 with LLC" x "m200 m6 llc" wire
	frame "from the wire, VLAN 10" wire "bc m200 8100:600a 88b5" \
		"a=bc m200 88b5" "b=bc m200 88b5" t n x all:nic0
	frame "from the wire, untagged" wire "bc m200 88b5" x dev:nic0 all:nic0
	frame "from the host, untagged" dev:nic0 "bc m100 88b5" x wire
}

link_local() {
	local last
	for last in 00 02 03 0e 0f; do
		dropped "link-local address ..:$last from a VM" a "01:80:c2:00:00:$last m1 llc" link_local
	done
	frame "also from a transparent port" x "01:80:c2:00:00:00 m6 llc"
	frame "STP from the wire: the host's only" wire "01:80:c2:00:00:00 m200 llc" dev:nic0 all:nic0
	frame "LLDP from the wire: the host's only" wire "01:80:c2:00:00:0e m200 88cc" dev:nic0 all:nic0
	frame "LLDP from the host: the wire's only" dev:nic0 "01:80:c2:00:00:0e m100 88cc" wire
	frame "the next address is forwarded" a "01:80:c2:00:00:10 m1 88b5" \
		b "t=01:80:c2:00:00:10 m1 8100:000a 88b5" "n=01:80:c2:00:00:10 m1 8100:000a 88b5" \
		"x=01:80:c2:00:00:10 m1 8100:000a 88b5" "wire=01:80:c2:00:00:10 m1 8100:000a 88b5" \
		"all:nic0=01:80:c2:00:00:10 m1 8100:000a 88b5"
}

all_transparent() {
	local vm
	for vm in a b c t n x; do must x port set dev $vm vlan none; done
	json "all ports are transparent" 'all(.[]; .vlan == null and .trunk == null and .native == null)' port
	frame "now STP from a VM is forwarded" a "01:80:c2:00:00:00 m1 llc" b c t n x wire dev:nic0 all:nic0
	frame "and LLDP from the wire" wire "01:80:c2:00:00:0e m200 88cc" a b c t n x dev:nic0 all:nic0
	frame "and LACP from the host" dev:nic0 "01:80:c2:00:00:02 m100 8809" a b c t n x wire
	frame "and any tag" a "m4 m1 8100:6005 88b5" b c t n x wire
}

stacks() {
	check "same VLAN" pings a 10.0.0.2
	check "same VLAN, IPv6" pings b fd00::1
	check "native and access" pings n 10.0.0.3
	check "native and access, IPv6" pings c fd00::5
	check "64 MiB in a VLAN" transfer a b 10.0.0.2
	check "64 MiB access -> native, IPv6" transfer c n fd00::5
	check "another VLAN" silent a 10.0.0.3
	check "another VLAN, IPv6" silent c fd00::2
	check "not the native one of a trunk" silent a 10.0.0.5
	check "no VLAN" silent a 10.0.0.200
	check "the host has no VLAN" silent a fd00::100
	check "transparent and wire" pings x 10.0.0.200
	check "transparent and host" pings x fd00::100
	check "64 MiB host -> transparent" transfer host x 10.0.0.6
}

uplink() {
	must x port set dev nic0 trunk 10,20 native 20
	json "an uplink with VLANs" '.[0] | .trunk == [10, 20] and .native == 20 and .uplink' port show dev nic0
	frame "uplink trunk, VLAN 10" a "bc m1 88b5" \
		b "t=bc m1 8100:000a 88b5" "n=bc m1 8100:000a 88b5" "x=bc m1 8100:000a 88b5" \
		"wire=bc m1 8100:000a 88b5" "all:nic0=bc m1 8100:000a 88b5"
	frame "uplink trunk, its native VLAN" c "bc m3 88b5" \
		"t=bc m3 8100:0014 88b5" n "x=bc m3 8100:0014 88b5" wire dev:nic0 all:nic0
	frame "uplink trunk, not another VLAN" t "bc m4 8100:0064 88b5" x
	frame "untagged from the wire is native" wire "bc m200 88b5" \
		c "t=bc m200 8100:0014 88b5" n "x=bc m200 8100:0014 88b5" dev:nic0 all:nic0
	frame "tagged from the wire" wire "bc m200 8100:400a 88b5" \
		"a=bc m200 88b5" "b=bc m200 88b5" t n x all:nic0
	frame "a VLAN of the wire's own: the host sees it" wire "bc m200 8100:0064 88b5" all:nic0
	frame "untagged from the host is native" dev:nic0 "bc m100 88b5" \
		c "t=bc m100 8100:0014 88b5" n "x=bc m100 8100:0014 88b5" wire
	check "VM <-> wire in the native VLAN" pings c 10.0.0.200
	check "VM <-> host in the native VLAN" pings c fd00::100
	check "host <-> VM in the native VLAN" pings host 10.0.0.5
	check "host <-> wire" pings host fd00::200
	check "not from another VLAN" silent a 10.0.0.100
	check "64 MiB host -> VM, untagged here and there" transfer host c 10.0.0.3
	check "64 MiB VM -> wire, IPv6" transfer c wire fd00::200
	must x port set dev nic0 vlan 10
	json "an access uplink" '.[0] | .vlan == 10 and .trunk == null and .native == null' port show dev nic0
	frame "access uplink" a "bc m1 88b5" \
		b "t=bc m1 8100:000a 88b5" "n=bc m1 8100:000a 88b5" "x=bc m1 8100:000a 88b5" wire dev:nic0 all:nic0
	check "VM <-> wire" pings a fd00::200
	check "VM <-> host" pings host 10.0.0.1
	check "the other VLAN not any more" silent c 10.0.0.200
	check "nor the host" silent c fd00::100
	must x port set dev nic0 vlan none
}

# Tags as metadata, in GSO frames too.
edge() {
	ns t ip address flush dev eth0
	veth_at t e 7 e1
	veth_at t f 8 f1
	must x_in t network add edge mode bridge uplink eth0
	must x_in t port set dev eth0 trunk 10,20
	must x_in t port add edge dev e1 vlan 10
	must x_in t port add edge dev f1 vlan 20
	frames a b c n x wire all:nic0 e f
	frame "another switch's VLAN 10" e "bc m7 88b5" \
		a b "n=bc m7 8100:000a 88b5" "x=bc m7 8100:000a 88b5" \
		"wire=bc m7 8100:000a 88b5" "all:nic0=bc m7 8100:000a 88b5"
	frame "another switch's VLAN 20" f "bc m8 88b5" \
		c n "x=bc m8 8100:0014 88b5" "wire=bc m8 8100:0014 88b5" "all:nic0=bc m8 8100:0014 88b5"
	frame "to it" a "m7 m1 88b5" e
	frame "from it" e "m1 m7 88b5" a
	check "VLAN 10 through it" pings a 10.0.0.7
	check "VLAN 20 through it, IPv6" pings f fd00::3
	check "64 MiB to it" transfer a e 10.0.0.7
	check "64 MiB from it, IPv6" transfer f c fd00::3
	must x port set dev t native 20
	frame "VLAN 10, where the port has a native VLAN" e "bc m7 88b5" \
		a b "n=bc m7 8100:000a 88b5" "x=bc m7 8100:000a 88b5" \
		"wire=bc m7 8100:000a 88b5" "all:nic0=bc m7 8100:000a 88b5"
	frame "unicast" e "m1 m7 88b5" a
	frame "an address of the native VLAN" e "m3 m7 88b5" \
		"n=m3 m7 8100:000a 88b5" "x=m3 m7 8100:000a 88b5" "wire=m3 m7 8100:000a 88b5" \
		"a=m3 m7 88b5" "b=m3 m7 88b5"
	check "does not get there" silent e 10.0.0.3
	must x port set dev t trunk none
	introduce x:6:000a wire:199:000a
	frame "unicast, transparent" e "m1 m7 88b5" a
	frame "unicast, transparent, to a transparent port" e "m6 m7 88b5" "x=m6 m7 8100:000a 88b5"
	frame "unicast, transparent, to the wire" e "m199 m7 88b5" "wire=m199 m7 8100:000a 88b5"
	must x port set dev t vlan 20
	frame "a foreign tag at an access port" e "bc m7 88b5"
	frame "a foreign tag at an access port, unicast" e "m3 m7 88b5"
	check "no wrong checksum anywhere" checksums_right
}

# veth_at SPACE NAME N DEV: as veth, with the other end in SPACE.
veth_at() {
	netns "$2"
	must ip -n "$P-$1" link add name "$4" type veth peer name eth0 address "$(mac "$3")" netns "$P-$2"
	must ip -n "$P-$1" link set dev "$4" up
	must ip -n "$P-$2" link set eth0 up
	must ip -n "$P-$2" address add "10.0.0.$3/24" dev eth0
	must ip -n "$P-$2" address add "fd00::$3/64" dev eth0 nodad
	must ns "$2" ethtool -K eth0 gro on
}

for hook in tc xdp; do
	LABEL="$hook: "
	topology a b c t n x
	must x network add lan mode bridge uplink nic0
	must x port set dev nic0 hook $hook
	must x port add lan dev a vlan 10 hook $hook
	must x port add lan dev b vlan 10 hook $hook
	must x port add lan dev c hook $hook vlan 20
	must x port add lan dev t trunk 10,20,100-199 hook $hook
	must x port add lan dev n native 20 trunk 10 hook $hook
	must x port add lan dev x hook $hook
	gro a b c t n x wire
	json "settings are shown" 'map(select(.dev == "t"))[0] | .vlan == null and .native == null and
		(.trunk | length) == 102 and .trunk[0:3] == [10, 20, 100]' port
	frames a b c t n x wire dev:nic0 all:nic0
	introduce a:1 b:2 c:3 t:4:000a t:4:0014 n:5 n:5:000a x:6 x:6:000a wire:199:000a wire:200
	access
	trunk
	transparent
	link_local
	stacks
	uplink
	edge
	down
	topology a b c t n x
	must x network add lan mode bridge uplink nic0
	for vm in a b c t n x; do must x port add lan dev $vm hook $hook vlan 5; done
	frames a b c t n x wire dev:nic0 all:nic0
	all_transparent
	down
done
finish

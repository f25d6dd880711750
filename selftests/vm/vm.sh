# shellcheck shell=bash
# vm.sh - what vmrun and guest have in common: stock Debian kernels, initramfs
# archives and the qemu arguments of a VM. Sourced, not run; the sourcing script
# has set -euo pipefail. Any failure ends it with status 125 and a line on stderr.
#
# Per kernel series the cache directory (XDPCTL_VM_CACHE, default
# /var/cache/xdpctl-vm) holds SERIES/ as unpacked from its package, the
# uncompressed SERIES/vmlinux, and SERIES/initramfs.cpio with busybox and the
# modules that a VM needs before it reaches any other file. A series stays at
# the version that was fetched first: remove SERIES/ to fetch the newest.

vm_modules="virtio_pci virtio_console virtio_net 9pnet_virtio 9p overlay"
vm_packages="qemu-system-x86 busybox-static kmod xz-utils zstd lz4"
vm_cmdline="console=ttyS0 quiet loglevel=5 panic=-1 oops=panic reboot=t mitigations=off
	no_timer_check tsc=reliable audit=0 apparmor=0 random.trust_cpu=on
	rcupdate.rcu_expedited=1 i8042.noaux=1 net.ifnames=0"
vm_cmdline=${vm_cmdline//[[:space:]]/ }
# Emulation only. 5-level page tables would cost a level of every soft page walk.
vm_qemu=(qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot
	-M q35 -accel "tcg,thread=multi" -cpu "max,-la57")

die()
{
	echo "${0##*/}: $*" >&2
	exit 125
}

set -E
trap 'die "failed: $BASH_COMMAND"' ERR

# usage: prints the calling script's head comment
usage()
{
	sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
}

# vm_require: everything that is needed is installed, and we are root
vm_require()
{
	local tool

	for tool in "${vm_qemu[0]}" busybox depmod modprobe xz zstd lz4 flock; do
		command -v "$tool" >/dev/null ||
			die "$tool not found (apt-get install --no-install-recommends $vm_packages)"
	done
	[ "$(id -u)" = 0 ] || die "must run as root"
}

# vm_kernel SERIES: makes a kernel ready and sets
#   vm_dir      its directory in the cache
#   vm_version  what uname -r says there
vm_kernel()
{
	local series=$1 cache=${XDPCTL_VM_CACHE:-/var/cache/xdpctl-vm}

	[[ $series =~ ^[0-9]+\.[0-9]+$ ]] || die "'$series' is no kernel series: 6.1, 6.12, ..."
	vm_dir=$cache/$series
	mkdir -p "$cache"
	{
		flock 9 # one preparation at a time; VMs run unlocked
		[ -e "$vm_dir/fetched" ] || vm_fetch "$series"
		vm_version=$(cd "$vm_dir/lib/modules" && echo *)
		[ "$vm_dir/initramfs.cpio" -nt "${BASH_SOURCE[0]}" ] || vm_prepare
	} 9>"$cache/lock"
}

# vm_fetch SERIES: downloads and unpacks the newest kernel that apt knows of a series
vm_fetch()
{
	local series=$1 package

	package=$(apt-cache pkgnames "linux-image-$series." |
		grep -E "^linux-image-${series/./\\.}\.[0-9]+[^-]*(-[0-9]+)?-amd64$" |
		sort -V | tail -n 1) || die "no package linux-image-$series.* (apt-get update?)"
	echo "${0##*/}: fetching $package" >&2
	rm -rf "$vm_dir"
	mkdir -p "$vm_dir"
	(cd "$vm_dir" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2) ||
		die "cannot download $package (apt-get update?)"
	dpkg-deb -x "$vm_dir"/*.deb "$vm_dir" || die "cannot unpack $package"
	rm -f "$vm_dir"/*.deb
	touch "$vm_dir/fetched"
}

# vm_prepare: derives vmlinux and initramfs.cpio from an unpacked kernel
vm_prepare()
{
	local root

	[ -e "$vm_dir/lib/modules/$vm_version/modules.dep" ] ||
		depmod -b "$vm_dir" "$vm_version" || die "depmod failed"
	vm_uncompress "$vm_dir/boot/vmlinuz-$vm_version" >"$vm_dir/vmlinux.new"
	[ "$(vm_bytes "$vm_dir/vmlinux.new" 0 4)" = 7f454c46 ] || die "no ELF kernel in vmlinuz"
	mv "$vm_dir/vmlinux.new" "$vm_dir/vmlinux"

	root=$vm_dir/initramfs
	rm -rf "$root"
	vm_base_files "$root"
	vm_archive "$root" >"$vm_dir/initramfs.new"
	rm -rf "$root"
	mv "$vm_dir/initramfs.new" "$vm_dir/initramfs.cpio"
}

# vm_uncompress VMLINUZ: writes the ELF kernel inside a bzImage to stdout. qemu starts
# that at its PVH entry: without seconds of emulated decompression. The offsets are
# setup_sects, payload_offset and payload_length of the x86 boot protocol.
vm_uncompress()
{
	local image=$1 offset length

	offset=$((($(vm_uint "$image" 497 1) + 1) * 512 + $(vm_uint "$image" 584 4)))
	length=$(vm_uint "$image" 588 4)
	# Behind the payload stands its size, which the decompressors complain about
	# after they have written everything: mind the output, not the status.
	{ tail -c +$((offset + 1)) "$image" || :; } | head -c "$length" |
		case $(vm_bytes "$image" $offset 4) in
		fd377a58) xz -dc --single-stream ;;
		28b52ffd) zstd -dc ;;
		02214c18) lz4 -dc ;;
		esac 2>/dev/null || :
}

# vm_uint FILE OFFSET SIZE: an unsigned integer in host order
vm_uint()
{
	od -An -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '
}

# vm_bytes FILE OFFSET COUNT: in hexadecimal
vm_bytes()
{
	od -An -t x1 -j "$2" -N "$3" "$1" | tr -d ' '
}

# vm_base_files ROOT: busybox with all its applets in /bin, and vm_modules
vm_base_files()
{
	local root=$1 modules=$1/lib/modules/$vm_version applet file name

	mkdir -p "$root"/{bin,dev,proc,sys} "$modules"
	cp "$(command -v busybox)" "$root/bin/busybox"
	for applet in $(busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
	done
	cp "$vm_dir/boot/config-$vm_version" "$root/config"
	cp "$vm_dir/lib/modules/$vm_version/modules."{builtin,builtin.modinfo,order} "$modules"
	# shellcheck disable=SC2086 # a list
	modprobe -d "$vm_dir" -S "$vm_version" --show-depends -a $vm_modules |
		sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r file; do
		name=${file##*/}
		case $file in
		*.ko) cat "$file" ;;
		*.ko.xz) xz -dc "$file" ;;
		*.ko.zst) zstd -qdc "$file" ;;
		esac >"$modules/${name%.ko*}.ko"
	done
	depmod -b "$root" "$vm_version" || die "depmod failed"
}

# vm_archive DIR: writes the files in DIR as a cpio archive to stdout
vm_archive()
{
	(cd "$1" && find . | busybox cpio -o -H newc 2>/dev/null)
}

# vm_initrd DIR: writes an initramfs to stdout, made of the kernel's base and the files in DIR
vm_initrd()
{
	cat "$vm_dir/initramfs.cpio"
	vm_archive "$1"
}

# vm_nic INDEX TAP[,OPT=VAL...]: adds a virtio-net device on an existing tap to vm_qemu
vm_nic()
{
	local index=$1 tap=${2%%,*} options=${2#"${2%%,*}"}

	# qemu would create a missing one
	ip link show dev "$tap" >/dev/null 2>&1 || die "no device '$tap' in this network namespace"
	[[ $options = *,mac=* ]] || options+=,mac=$(printf '52:54:%02x:%02x:%02x:%02x' \
		$((RANDOM % 256)) $((RANDOM % 256)) $((RANDOM % 256)) "$index")
	vm_qemu+=(-netdev "tap,id=nic$index,ifname=$tap,script=no,downscript=no,vhost=off"
		-device "virtio-net-pci,netdev=nic$index,romfile=$options")
}

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The switch under test: see lab.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <json-c/json.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include "../maps/cache.h"
#include "../maps/network.h"
#include "lab.h"
#include "tap.h"

#define HOST_TYPES 5

const char *const lab_dev[ENDS] = {"p1", "p2",	"p3",	"p4",	"p5",	       "p6",
				   "u1", "nic", "priv", "host", "host (at u1)"};
static const char *const far_dev[ENDS] = {"f1", "f2", "f3", "f4", "f5", NULL, "wire"};

__u32 lab_gso_size;

static char xdpctl[512];
static char pins[256];
static bool xdp_features;
static struct {
	int networks, ports, port_info, xdp_ports, fdb, stats, drops, generation, prog[3];
} fd;
static __u32 ids[PORT_ENDS], ifindexes[PORT_ENDS], lan;
static int sockets[ENDS], host_sockets[HOST_TYPES];
static const __u16 host_types[HOST_TYPES] = {0x88b5, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, 0x88b6};

static void die(const char *fmt, ...)
{
	va_list ap;

	printf("Bail out! ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	exit(1);
}

/* ---- processes ---- */

/* Runs a program; its stdout goes to *out (to be freed) when that is not NULL. */
static int run(char *const argv[], const char *in, char **out)
{
	FILE *input = tmpfile(), *output = tmpfile();
	long n;
	int status;
	pid_t pid;

	if (!input || !output)
		die("tmpfile: %s", strerror(errno));
	fputs(in ?: "", input);
	rewind(input);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		dup2(fileno(input), 0);
		if (out)
			dup2(fileno(output), 1);
		else
			dup2(2, 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid: %s", strerror(errno));
	if (out) {
		fseek(output, 0, SEEK_END);
		n = ftell(output);
		rewind(output);
		*out = calloc(1, n + 1);
		if (!*out || fread(*out, 1, n, output) != (size_t)n)
			die("%s: its output cannot be read", argv[0]);
	}
	fclose(input);
	fclose(output);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

void lab_xdpctl(const char *commands)
{
	char *argv[] = {xdpctl, "-b", "-", NULL};
	int status = run(argv, commands, NULL);

	if (status)
		die("xdpctl: status %d for:\n%s", status, commands);
}

bool lab_ip_try(const char *batch)
{
	char *argv[] = {"ip", "-batch", "-", NULL};

	return !run(argv, batch, NULL);
}

void lab_ip(const char *batch)
{
	if (!lab_ip_try(batch))
		die("ip -batch failed for:\n%s", batch);
}

static void write_file(const char *path, const char *text)
{
	int f = open(path, O_WRONLY | O_CLOEXEC);

	if (f < 0 || write(f, text, strlen(text)) < 0)
		die("%s: %s", path, strerror(errno));
	close(f);
}

/* The process that a signal is passed on to. */
static pid_t body_pid;

static void pass_on(int sig)
{
	kill(body_pid, SIGKILL);
}

void lab_sysctl(const char *name, const char *value)
{
	char path[256];

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	write_file(path, value);
}

mac_t lab_device_mac(const char *dev)
{
	struct ifreq ifr = {};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	mac_t mac = 0;

	memcpy(ifr.ifr_name, dev, strlen(dev));
	if (s < 0 || ioctl(s, SIOCGIFHWADDR, &ifr))
		die("%s: %s", dev, strerror(errno));
	close(s);
	for (int i = 0; i < 6; i++)
		mac = mac << 8 | (__u8)ifr.ifr_hwaddr.sa_data[i];
	return mac;
}

int lab_run(const char *argv0, int (*body)(void))
{
	char *detach[] = {xdpctl, "detach", NULL}, *slash;
	int status;

	snprintf(xdpctl, sizeof(xdpctl), "%s", argv0);
	slash = strrchr(xdpctl, '/');
	snprintf(slash ? slash + 1 : xdpctl, sizeof(xdpctl) - (slash ? slash + 1 - xdpctl : 0),
		 "%s", "../xdpctl");
	if (getenv("XDPCTL"))
		snprintf(xdpctl, sizeof(xdpctl), "%s", getenv("XDPCTL"));
	if (unshare(CLONE_NEWNET))
		die("a network namespace cannot be made: %s", strerror(errno));
	body_pid = fork();
	if (body_pid < 0)
		die("fork: %s", strerror(errno));
	if (!body_pid)
		exit(body());
	signal(SIGINT, pass_on);
	signal(SIGTERM, pass_on);
	signal(SIGHUP, pass_on);
	while (waitpid(body_pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid: %s", strerror(errno));
	if (run(detach, NULL, NULL)) {
		printf("# xdpctl detach failed\n");
		return 1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* ---- devices ---- */

static void set_gro(const char *dev)
{
	struct ethtool_value v = {.cmd = ETHTOOL_SGRO, .data = 1};
	struct ifreq ifr = {};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(ifr.ifr_name, dev, strlen(dev));
	ifr.ifr_data = (void *)&v;
	if (s < 0 || ioctl(s, SIOCETHTOOL, &ifr))
		die("%s: GRO cannot be switched on: %s", dev, strerror(errno));
	close(s);
}

static int open_tap(const char *dev)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int f = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	memcpy(ifr.ifr_name, dev, strlen(dev));
	if (f < 0 || ioctl(f, TUNSETIFF, &ifr))
		die("%s: cannot be made: %s", dev, strerror(errno));
	return f;
}

/* Frames to the host are those that its protocols get: behind the TC hook. */
static int open_socket(const char *dev, __u16 type)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(type),
				 .sll_ifindex = if_nametoindex(dev)};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1,
	    size = 16 << 20;

	if (s < 0 || setsockopt(s, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)) ||
	    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(s, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    bind(s, (struct sockaddr *)&at, sizeof(at)))
		die("%s: a packet socket cannot be opened: %s", dev, strerror(errno));
	return s;
}

/* ---- tags in metadata ---- */

#define MARK_TAG_APART 0x746167

#define INSN(c, d, s, o, i)                                                         \
	{                                                                           \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) \
	}
#define CALL(helper)	    INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_##helper)
#define MOVE(d, s)	    INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, i)	    INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define LOAD(size, d, s, o) INSN(BPF_LDX | BPF_MEM | (size), d, s, o, 0)

/* Takes the outermost tag out of the data of frames with our mark, and sets it apart. */
static int load_tag_apart(void)
{
	static const struct bpf_insn insns[] = {
		MOVE(BPF_REG_6, BPF_REG_1),
		LOAD(BPF_W, BPF_REG_2, BPF_REG_6, offsetof(struct __sk_buff, mark)),
		INSN(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 15, MARK_TAG_APART),
		SET(BPF_REG_2, 0),
		INSN(BPF_STX | BPF_MEM | BPF_W, BPF_REG_6, BPF_REG_2,
		     offsetof(struct __sk_buff, mark), 0),
		SET(BPF_REG_2, 12),
		MOVE(BPF_REG_3, BPF_REG_10),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_3, 0, 0, -8),
		SET(BPF_REG_4, 4),
		CALL(skb_load_bytes),
		INSN(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_0, 0, 7, 0),
		MOVE(BPF_REG_1, BPF_REG_6),
		CALL(skb_vlan_pop),
		MOVE(BPF_REG_1, BPF_REG_6),
		LOAD(BPF_H, BPF_REG_2, BPF_REG_10, -8),
		LOAD(BPF_H, BPF_REG_3, BPF_REG_10, -6),
		INSN(BPF_ALU | BPF_END | BPF_TO_BE, BPF_REG_3, 0, 0, 16),
		CALL(skb_vlan_push),
		SET(BPF_REG_0, -1),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	int prog = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "tag_apart", "GPL", insns,
				 sizeof(insns) / sizeof(*insns), NULL);

	if (prog < 0)
		die("the program for tags in metadata: %s", strerror(-prog));
	return prog;
}

static void set_tags_apart(const char *dev)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = if_nametoindex(dev),
		    .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts);
	int err;

	opts.prog_fd = load_tag_apart();
	err = bpf_tc_hook_create(&hook) ?: bpf_tc_attach(&hook, &opts);
	if (err)
		die("%s: the program for tags in metadata: %s", dev, strerror(-err));
	close(opts.prog_fd);
}

static void make_devices(void)
{
	char batch[2048] =
		"link set lo up\nlink add nic type bridge mcast_snooping 0\nlink set nic up\n";

	lab_sysctl("net/ipv6/conf/all/disable_ipv6", "1");
	lab_sysctl("net/ipv6/conf/default/disable_ipv6", "1");
	for (int e = 0; e < ENDS; e++)
		if (far_dev[e])
			snprintf(batch + strlen(batch), sizeof(batch) - strlen(batch),
				 "link add %s mtu 1500 %s type veth peer name %s\nlink set %s arp "
				 "off up\n"
				 "link set %s arp off promisc on up\n",
				 lab_dev[e], e == UP ? "address 52:54:00:00:00:aa" : "", far_dev[e],
				 lab_dev[e], far_dev[e]);
	lab_ip(batch);
	sockets[P6] = open_tap(lab_dev[P6]);
	lab_ip("link set p6 arp off up\n");
	for (int e = 0; e < ENDS; e++) {
		if (!far_dev[e])
			continue;
		set_gro(far_dev[e]);
		set_tags_apart(far_dev[e]);
		sockets[e] = open_socket(far_dev[e], ETH_P_ALL);
	}
	sockets[NIC] = sockets[GATEWAY] = -1;
	for (int i = 0; i < HOST_TYPES; i++)
		host_sockets[i] = open_socket(lab_dev[UP], host_types[i]);
	sockets[HOST] = host_sockets[0];
	sockets[HOST_DEV] = open_socket(lab_dev[UP], ETH_P_ALL);
}

/* ---- the switch ---- */

int lab_pin(const char *name)
{
	char path[512];
	int f;

	snprintf(path, sizeof(path), "%s/%s", pins, name);
	f = bpf_obj_get(path);
	if (f < 0)
		die("%s: %s", path, strerror(errno));
	return f;
}

static void read_status(void)
{
	char *argv[] = {xdpctl, "-j", "status", NULL}, *text;
	struct json_object *o, *features, *v;

	if (run(argv, NULL, &text))
		die("xdpctl status failed");
	o = json_tokener_parse(text);
	if (!o || !json_object_object_get_ex(o, "pins", &v))
		die("xdpctl status: no pins in %s", text);
	snprintf(pins, sizeof(pins), "%s", json_object_get_string(v));
	if (json_object_object_get_ex(o, "features", &features) &&
	    json_object_object_get_ex(features, "xdp_features", &v))
		xdp_features = json_object_get_boolean(v);
	json_object_put(o);
	free(text);
}

void lab_find_ports(void)
{
	struct port_info info;
	__u32 id, *at = NULL;

	memset(ids, 0, sizeof(ids));
	while (!bpf_map_get_next_key(fd.port_info, at, &id)) {
		at = &id;
		if (bpf_map_lookup_elem(fd.port_info, &id, &info))
			continue;
		for (int e = 0; e < PORT_ENDS; e++)
			if (!strcmp(info.dev, lab_dev[e])) {
				ids[e] = id;
				lan = info.network;
			}
	}
}

static void open_pins(void)
{
	fd.networks = lab_pin("networks");
	fd.ports = lab_pin("ports");
	fd.port_info = lab_pin("port_info");
	fd.xdp_ports = lab_pin("xdp_ports");
	fd.fdb = lab_pin("fdb");
	fd.stats = lab_pin("port_stats");
	fd.drops = lab_pin("port_drops");
	fd.generation = lab_pin("generation");
	fd.prog[LAB_XDP] = lab_pin("prog_xdp");
	fd.prog[LAB_TC] = lab_pin("prog_tc_ingress");
	fd.prog[LAB_EGRESS] = lab_pin("prog_tc_egress");
}

/*
 * Where the kernel calls XDP programs directly it changes code for each TEST_RUN of one that
 * is on no device (which with libxdp's dispatcher this one is not): 0.2 s in an emulated VM.
 */
static void keep_called(void)
{
	lab_ip("link add spare type veth peer name spare-far\n");
	bpf_xdp_attach(if_nametoindex("spare"), fd.prog[LAB_XDP], XDP_FLAGS_DRV_MODE, NULL);
}

void lab_start(const char *hook)
{
	char commands[2048] = "network add lan mode bridge\n";
	cpu_set_t one;

	/* One CPU: when send() returns, the frame has been all the way. */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	make_devices();
	for (int e = P1; e <= P6; e++)
		snprintf(commands + strlen(commands), sizeof(commands) - strlen(commands),
			 "port add lan dev %s hook %s\n", lab_dev[e], hook);
	strcat(commands, "port add lan dev nic hook tc\n");
	lab_xdpctl(commands);
	read_status();
	open_pins();
	keep_called();
	for (int e = 0; e < PORT_ENDS; e++)
		ifindexes[e] = if_nametoindex(lab_dev[e]);
	lab_find_ports();
	lab_refresh();
}

bool lab_xdp_features(void)
{
	return xdp_features;
}

static struct cache_generation read_generation(void)
{
	struct cache_generation g;
	__u32 zero = 0;

	if (bpf_map_lookup_elem(fd.generation, &zero, &g))
		die("generation: %s", strerror(errno));
	return g;
}

__u32 lab_generation(void)
{
	return read_generation().number;
}

void lab_next_second(void)
{
	struct cache_generation g = read_generation();
	__u32 zero = 0;

	g.number++;
	if (bpf_map_update_elem(fd.generation, &zero, &g, BPF_EXIST))
		die("generation: %s", strerror(errno));
}

static struct port read_port(enum end e)
{
	struct port port = {};

	if (ids[e] && bpf_map_lookup_elem(fd.ports, &ids[e], &port))
		die("ports: %s", strerror(errno));
	return port;
}

void lab_refresh(void)
{
	struct port_info info;
	struct port port;
	bool changed = false;

	lab_find_ports();
	for (int e = P1; e <= UP && !xdp_features; e++) {
		if (!ids[e] || bpf_map_lookup_elem(fd.port_info, &ids[e], &info) ||
		    info.hook != HOOK_XDP)
			continue;
		port = read_port(e);
		changed |= !port.policy.xdp_tx;
		port.policy.xdp_tx = 1;
		if (bpf_map_update_elem(fd.xdp_ports, &ids[e], &ifindexes[e], BPF_ANY) ||
		    bpf_map_update_elem(fd.ports, &ids[e], &port, BPF_ANY))
			die("ports: %s", strerror(errno));
	}
	if (changed)
		lab_next_second();
}

void lab_complete(enum end e)
{
	struct port port = read_port(e);

	port.policy.offloads = 0;
	if (bpf_map_update_elem(fd.ports, &ids[e], &port, BPF_EXIST))
		die("ports: %s", strerror(errno));
	lab_next_second();
}

void lab_flush(void)
{
	lab_xdpctl("fdb flush network lan\n");
	lab_refresh();
}

union port_policy lab_policy(enum end e)
{
	return read_port(e).policy;
}

__u32 lab_ifindex(enum end e)
{
	return ifindexes[e == HOST ? UP : e];
}

__u32 lab_port_id(enum end e)
{
	return ids[e];
}

static struct fdb_key fdb_key(mac_t mac, __u16 vid)
{
	struct fdb_key key = {.vlan = vid, .network = lan};

	frame_mac(key.mac, mac);
	return key;
}

__u32 lab_connections(enum end e)
{
	return read_port(e).flows;
}

bool lab_fdb(mac_t mac, __u16 vid, struct fdb_entry *out)
{
	struct fdb_key key = fdb_key(mac, vid);

	return !bpf_map_lookup_elem(fd.fdb, &key, out);
}

void lab_fdb_age(mac_t mac, __u16 vid, __u32 seconds)
{
	struct fdb_key key = fdb_key(mac, vid);
	struct timespec now;
	struct fdb_entry e;

	if (bpf_map_lookup_elem(fd.fdb, &key, &e))
		die("fdb: %012llx is not there", (unsigned long long)mac);
	clock_gettime(CLOCK_MONOTONIC, &now);
	e.used = (now.tv_sec - (__s64)seconds) * 1000000000LL;
	if (bpf_map_update_elem(fd.fdb, &key, &e, BPF_EXIST))
		die("fdb: %s", strerror(errno));
	lab_next_second();
}

__u32 lab_learned(enum end e)
{
	struct network net = {};

	if (e != ENDS)
		return read_port(e).learned;
	if (bpf_map_lookup_elem(fd.networks, &lan, &net))
		die("networks: %s", strerror(errno));
	return net.learned;
}

/* ---- counters ---- */

#define CPUS_MAX 1024

void lab_counters(struct lab_counters *out)
{
	static struct port_stats stats[CPUS_MAX];
	static struct port_drops drops[CPUS_MAX];
	int cpus = libbpf_num_possible_cpus();

	if (cpus < 1 || cpus > CPUS_MAX)
		die("%d CPUs", cpus);
	memset(out, 0, sizeof(*out));
	for (int e = 0; e < PORT_ENDS; e++) {
		if (!ids[e])
			continue;
		if (bpf_map_lookup_elem(fd.stats, &ids[e], stats) ||
		    bpf_map_lookup_elem(fd.drops, &ids[e], drops))
			die("counters: %s", strerror(errno));
		for (int c = 0; c < cpus; c++) {
			out->stats[e].rx_packets += stats[c].rx_packets;
			out->stats[e].rx_bytes += stats[c].rx_bytes;
			out->stats[e].tx_packets += stats[c].tx_packets;
			out->stats[e].tx_bytes += stats[c].tx_bytes;
			for (int r = 0; r < REASON_MAX; r++)
				out->drops[e].count[r] += drops[c].count[r];
		}
	}
}

void lab_counters_since(const struct lab_counters *before, struct lab_counters *out)
{
	lab_counters(out);
	for (int e = 0; e < PORT_ENDS; e++) {
		out->stats[e].rx_packets -= before->stats[e].rx_packets;
		out->stats[e].rx_bytes -= before->stats[e].rx_bytes;
		out->stats[e].tx_packets -= before->stats[e].tx_packets;
		out->stats[e].tx_bytes -= before->stats[e].tx_bytes;
		for (int r = 0; r < REASON_MAX; r++)
			out->drops[e].count[r] -= before->drops[e].count[r];
	}
}

const char *lab_reason_name(enum reason r)
{
	static const char *const names[REASON_MAX] = {
#define X(id, name, help) [DROP_##id] = name,
		DROP_REASONS(X)
#undef X
#define X(id, name, help) [NOTE_##id] = name,
			NOTES(X)
#undef X
	};

	return r < REASON_MAX && names[r] ? names[r] : "none";
}

void lab_same_counters(enum end e, const struct lab_counters *got, const struct lab_counters *want)
{
	const struct port_stats *g = &got->stats[e], *w = &want->stats[e];

	if (memcmp(g, w, sizeof(*g)))
		tap_fail("%s counted rx %llu/%llu tx %llu/%llu, not rx %llu/%llu tx %llu/%llu "
			 "(packets/bytes)",
			 lab_dev[e], g->rx_packets, g->rx_bytes, g->tx_packets, g->tx_bytes,
			 w->rx_packets, w->rx_bytes, w->tx_packets, w->tx_bytes);
	for (int r = 1; r < REASON_MAX; r++)
		if (got->drops[e].count[r] != want->drops[e].count[r])
			tap_fail("%s counted %s %llu times, not %llu", lab_dev[e],
				 lab_reason_name(r), got->drops[e].count[r],
				 want->drops[e].count[r]);
}

/* ---- frames ---- */

int lab_test_run(enum lab_hook hook, enum end in, const struct frame *f, __u32 *retval,
		 struct frame *out)
{
	struct xdp_md md = {.data_end = f->len, .ingress_ifindex = lab_ifindex(in)};
	struct __sk_buff skb = {.ifindex = lab_ifindex(in),
				.gso_size = lab_gso_size,
				.gso_segs = lab_gso_size ? f->len / lab_gso_size + 1 : 0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->data, .data_size_in = f->len,
		    .data_out = out->data, .data_size_out = sizeof(out->data));
	int err;

	if (hook == LAB_XDP) {
		opts.ctx_in = &md;
		opts.ctx_size_in = sizeof(md);
	} else {
		opts.ctx_in = &skb;
		opts.ctx_size_in = sizeof(skb);
	}
	err = bpf_prog_test_run_opts(fd.prog[hook], &opts);
	*retval = opts.retval;
	out->len = err ? 0 : opts.data_size_out;
	return err;
}

int lab_send(enum end in, const struct frame *f)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
				 .sll_ifindex = lab_ifindex(HOST),
				 .sll_protocol = htons(ETH_P_ALL)};
	ssize_t n;

	if (in == P6)
		n = write(sockets[in], f->data, f->len);
	else if (in == HOST)
		n = sendto(sockets[in], f->data, f->len, 0, (struct sockaddr *)&at, sizeof(at));
	else
		n = send(sockets[in], f->data, f->len, 0);
	return n == (ssize_t)f->len ? 0 : n < 0 ? -errno : -EMSGSIZE;
}

int lab_send_tag_apart(enum end in, const struct frame *f)
{
	int s = sockets[in], mark = MARK_TAG_APART, none = 0, err;

	if (setsockopt(s, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		return -errno;
	err = lab_send(in, f);
	setsockopt(s, SOL_SOCKET, SO_MARK, &none, sizeof(none));
	return err;
}

/* A tag in the metadata goes back to its place. Returns whether there was a frame. */
static bool receive_one(int s, struct frame *f)
{
	char control[256];
	struct iovec iov = {f->data, sizeof(f->data)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(s, &msg, 0);

	if (n < 0 && (errno == EAGAIN || errno == ENETDOWN))
		return false;
	if (n < 0)
		die("a packet socket: %s", strerror(errno));
	f->len = n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (aux.tp_status & TP_STATUS_VLAN_VALID)
			frame_push(f, (__u32)(aux.tp_status & TP_STATUS_VLAN_TPID_VALID
						      ? aux.tp_vlan_tpid
						      : ETH_P_8021Q)
						      << 16 |
					      aux.tp_vlan_tci);
	}
	return true;
}

static bool receive_tap(struct frame *f)
{
	ssize_t n = read(sockets[P6], f->data, sizeof(f->data));

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		die("the tap: %s", strerror(errno));
	f->len = n;
	return true;
}

static bool receive_at(enum end e, int s, struct lab_received *out)
{
	size_t max = sizeof(out->frames) / sizeof(*out->frames);
	struct frame *f;

	if (out->n == max)
		die("more than %zu frames came out", max);
	f = &out->frames[out->n].f;
	if (!(e == P6 ? receive_tap(f) : receive_one(s, f)))
		return false;
	out->frames[out->n++].at = e;
	return true;
}

static bool receive_all(struct lab_received *out)
{
	bool any = false;

	for (int e = 0; e < ENDS; e++)
		while (e != HOST && sockets[e] >= 0 && receive_at(e, sockets[e], out))
			any = true;
	for (int i = 0; i < HOST_TYPES; i++)
		while (receive_at(HOST, host_sockets[i], out))
			any = true;
	return any;
}

void lab_receive(struct lab_received *out, size_t want)
{
	struct pollfd polls[ENDS + HOST_TYPES];
	int n = 0;

	for (int e = 0; e < ENDS; e++)
		polls[n++] = (struct pollfd){.fd = e == HOST ? -1 : sockets[e], .events = POLLIN};
	for (int i = 0; i < HOST_TYPES; i++)
		polls[n++] = (struct pollfd){.fd = host_sockets[i], .events = POLLIN};
	out->n = 0;
	receive_all(out);
	while (out->n < want && poll(polls, n, 500) > 0 && receive_all(out))
		;
	receive_all(out);
}

/*
 * flood NETNS DEV DST SRC {syn|same} RATE MS
 *
 * Sends RATE minimum-size frames a second from address SRC to DST out of DEV for MS
 * milliseconds. syn: each opens another TCP connection; same: all are of one UDP flow.
 * Prints JSON: frames sent, and ns, the time for each.
 */
#include <linux/if_packet.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "frame.h"
#include "util.h"

#define BATCH 32

static volatile sig_atomic_t ended;

static void end(int signal_number)
{
	(void)signal_number;
	ended = 1;
}

/* Makes a SYN of the frame: from a port and address of its own, to port 80. */
static void make_syn(struct frame *f, uint32_t number)
{
	struct tcphdr tcp = {.source = htons((uint16_t)(1024 + number % 64000)),
			     .dest = htons(80),
			     .seq = htonl(number),
			     .doff = 5,
			     .syn = 1,
			     .window = htons(65535)};
	uint32_t sum;

	f->ip.saddr = htonl(0x0b000000 | (number / 64000 & 0xffffff)); /* 11.0.0.0 */
	f->ip.protocol = IPPROTO_TCP;
	f->ip.tot_len = htons(sizeof(f->ip) + sizeof(tcp));
	f->ip.check = 0;
	f->ip.check = frame_fold(frame_sum(0, &f->ip, sizeof(f->ip)));
	sum = frame_sum(IPPROTO_TCP + sizeof(tcp), (uint8_t *)&f->ip + 12, 8);
	tcp.check = frame_fold(frame_sum(sum, &tcp, sizeof(tcp)));
	memset(&f->udp, 0, sizeof(f->udp) + sizeof(f->payload));
	memcpy(&f->udp, &tcp, sizeof(tcp));
}

/* Sends batches at their times until it is over. Returns the number of frames. */
static uint64_t flood(int fd, const struct frame *from, int syn, uint64_t rate, uint64_t ns)
{
	uint64_t start = now_ns(), sent = 0;
	struct mmsghdr message[BATCH] = {};
	struct frame frame[BATCH];
	struct iovec part[BATCH];

	for (int i = 0; i < BATCH; i++) {
		frame[i] = *from;
		part[i] = (struct iovec){.iov_base = &frame[i], .iov_len = FRAME_LEN};
		message[i].msg_hdr = (struct msghdr){.msg_iov = &part[i], .msg_iovlen = 1};
	}
	while (!ended && now_ns() - start < ns) {
		uint64_t due = start + sent * 1000000000 / rate, now = now_ns();
		int n;

		if (due > now)
			usleep((useconds_t)((due - now) / 1000));
		for (int i = 0; syn && i < BATCH; i++)
			make_syn(&frame[i], (uint32_t)sent + (uint32_t)i);
		n = sendmmsg(fd, message, BATCH, 0);
		check(n < 0 && errno != ENOBUFS && errno != EINTR, "send");
		sent += n > 0 ? (uint64_t)n : 0;
	}
	return sent;
}

int main(int argc, char **argv)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET};
	struct ether_addr dst, src;
	uint64_t rate, ms, sent;
	int fd, direct = 1;
	struct frame f;

	if (argc != 8 || !ether_aton_r(argv[3], &dst) || !ether_aton_r(argv[4], &src) ||
	    (strcmp(argv[5], "syn") && strcmp(argv[5], "same")) || !atoi(argv[6])) {
		fprintf(stderr, "usage: %s NETNS DEV DST SRC {syn|same} RATE MS\n", argv[0]);
		return 2;
	}
	rate = strtoull(argv[6], NULL, 10);
	ms = strtoull(argv[7], NULL, 10);
	signal(SIGTERM, end);
	netns_enter(argv[1]);
	at.sll_ifindex = (int)if_nametoindex(argv[2]);
	check(!at.sll_ifindex, argv[2]);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	check(fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)), "socket");
	check(setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &direct, sizeof(direct)), "socket");
	frame_build(&f, dst.ether_addr_octet, src.ether_addr_octet);
	sent = flood(fd, &f, !strcmp(argv[5], "syn"), rate, ms * 1000000);
	printf("{\"sent\": %llu, \"ns\": %.1f}\n", (unsigned long long)sent,
	       (double)ms * 1e6 / (double)(sent ?: 1));
	return 0;
}

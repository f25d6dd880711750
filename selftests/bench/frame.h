/*
 * The frame that the bench sends, shared by traffic.c (live frames) and
 * testrun.c (test runs): a minimum-size Ethernet frame (64 bytes with FCS)
 * with a UDP datagram whose checksums are right.
 */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "util.h"

#define FRAME_LEN    60 /* without FCS */
#define FRAME_RECORD 64 /* octets of a frame in a file of prepared ones */

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	uint8_t payload[FRAME_LEN - sizeof(struct ethhdr) - sizeof(struct iphdr) -
			sizeof(struct udphdr)];
} __attribute__((packed));

_Static_assert(sizeof(struct frame) == FRAME_LEN, "frame size");

/* Adds @len bytes (even) to the RFC 1071 sum @sum. */
static inline uint32_t frame_sum(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)byte[i] << 8 | byte[i + 1];
	return sum;
}

/* Folds and complements @sum; the result is in network byte order. */
static inline uint16_t frame_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum & 0xffff);
}

static inline void frame_build(struct frame *f, const uint8_t *dst, const uint8_t *src)
{
	const size_t udp_len = sizeof(f->udp) + sizeof(f->payload);
	uint32_t sum;

	memset(f, 0, sizeof(*f));
	memcpy(f->eth.h_dest, dst, ETH_ALEN);
	memcpy(f->eth.h_source, src, ETH_ALEN);
	f->eth.h_proto = htons(ETH_P_IP);
	f->ip.version = 4;
	f->ip.ihl = 5;
	f->ip.ttl = 64;
	f->ip.protocol = IPPROTO_UDP;
	f->ip.tot_len = htons(sizeof(f->ip) + udp_len);
	f->ip.saddr = htonl(0xc6120001); /* 198.18.0.1, RFC 2544 */
	f->ip.daddr = htonl(0xc6120002);
	f->ip.check = frame_fold(frame_sum(0, &f->ip, sizeof(f->ip)));
	f->udp.source = htons(1024);
	f->udp.dest = htons(9);
	f->udp.len = htons(udp_len);
	sum = frame_sum(IPPROTO_UDP + udp_len, (uint8_t *)&f->ip + 12, 8);
	f->udp.check = frame_fold(frame_sum(sum, &f->udp, udp_len));
}

/* The answer to it, as far as IP and UDP go: both ends swapped, checksums as they were. */
static inline void frame_turn(struct frame *f)
{
	uint32_t addr = f->ip.saddr;
	uint16_t port = f->udp.source;

	f->ip.saddr = f->ip.daddr;
	f->ip.daddr = addr;
	f->udp.source = f->udp.dest;
	f->udp.dest = port;
}

/* Reads a file of prepared frames, FRAME_RECORD octets each; *@count gets their number. */
static inline uint8_t *frames_read(const char *path, uint32_t *count)
{
	FILE *file = fopen(path, "re");
	uint8_t *frames;
	long size;

	check(!file || fseek(file, 0, SEEK_END), path);
	size = ftell(file);
	errno = EINVAL;
	check(size <= 0 || size % FRAME_RECORD, path);
	rewind(file);
	frames = malloc((size_t)size);
	check(!frames || fread(frames, (size_t)size, 1, file) != 1, path);
	fclose(file);
	*count = (uint32_t)(size / FRAME_RECORD);
	return frames;
}

#endif

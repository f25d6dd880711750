/*
 * pingpong CLIENT_NS SERVER_NS SERVER_ADDR COUNT CLIENT_CPU SERVER_CPU
 *
 * Request/response latency of one-byte TCP messages between two network
 * namespaces. Prints JSON: the p50 and p99 of COUNT round trips, in
 * microseconds. On one CPU the two sides sleep and wake each other; on two they
 * poll, because waking an idle CPU takes many times as long as the network does.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "util.h"

#define PORT	7
#define WARM_UP 1000

static void pin(const char *cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(atoi(cpu), &set);
	check(sched_setaffinity(0, sizeof(set), &set), "pin to a CPU");
}

static bool polling;

/* Reads one byte; false at the end of the connection. */
static bool receive(int fd, char *byte)
{
	ssize_t got;

	do {
		got = recv(fd, byte, 1, polling ? MSG_DONTWAIT : 0);
	} while (polling && got < 0 && errno == EAGAIN);
	return got == 1;
}

static void no_delay(int fd)
{
	int on = 1;

	check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "TCP_NODELAY");
}

/* Answers on one connection until the client ends it. */
static void serve(int listener)
{
	int fd = accept(listener, NULL, NULL);
	char byte;

	check(fd < 0, "accept");
	no_delay(fd);
	while (receive(fd, &byte))
		check(write(fd, &byte, 1) != 1, "answer");
	_exit(0);
}

static double round_trip(int fd)
{
	uint64_t start = now_ns();
	char byte = 0;

	check(write(fd, &byte, 1) != 1, "send");
	check(!receive(fd, &byte), "receive");
	return (double)(now_ns() - start) / 1000;
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct timeval patience = {.tv_sec = 5};
	size_t count;
	double *us;
	int fd, listener, status;
	pid_t server;

	if (argc != 7 || atoi(argv[4]) < 1 || inet_pton(AF_INET, argv[3], &addr.sin_addr) != 1) {
		fprintf(stderr,
			"usage: %s CLIENT_NS SERVER_NS SERVER_ADDR COUNT CLIENT_CPU SERVER_CPU\n",
			argv[0]);
		return 2;
	}
	count = (size_t)atoi(argv[4]);
	polling = strcmp(argv[5], argv[6]) != 0;
	us = calloc(count, sizeof(*us));
	check(!us, "samples");

	netns_enter(argv[2]);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) ||
		      listen(listener, 1),
	      "listen");
	server = fork();
	check(server < 0, "fork");
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(argv[6]);
		serve(listener);
	}

	netns_enter(argv[1]);
	pin(argv[5]);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
		      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
		      connect(fd, (struct sockaddr *)&addr, sizeof(addr)),
	      "connect");
	no_delay(fd);
	for (int i = 0; i < WARM_UP; i++)
		round_trip(fd);
	for (size_t i = 0; i < count; i++)
		us[i] = round_trip(fd);
	close(fd);
	waitpid(server, &status, 0);

	printf("{\"p50\": %.3f, \"p99\": %.3f}\n", quantile(us, count, 50),
	       quantile(us, count, 99));
	free(us);
	return 0;
}

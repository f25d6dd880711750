/* What the generator sends, shared by traffic.c and traffic.bpf.c. */
#ifndef BENCH_KINDS_H
#define BENCH_KINDS_H

enum kind {
	FRAME_FIXED,
	FRAME_SOURCES,	/* the source address counts up to `count` */
	FRAME_PREPARED, /* one of `count` prepared frames after the other */
	FRAME_FLOWS,	/* of `count` connections from number `first` on */
	FRAME_ANSWERS,	/* the same from the other end */
	FRAME_OUT,	/* of `count` connections that a NAT translates, from inside */
	FRAME_IN,	/* the same from outside */
};

#endif

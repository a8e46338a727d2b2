// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log_bench - the way of access records from the module's rings to the file, without a kernel:
 * threads stand for processors and write into rings as the module does (kmod/common/ring.h), the
 * loop drains them in messages of the module's size into the history.
 *
 *   log_bench [-d DIR] [-r EVENTS_A_SECOND] [-s SECONDS] [-k RING_KIB] [-t THREADS]
 *
 * An event is an open, a read or a close; an open is two records, as who did it has one of its
 * own.  Prints "name value" lines; events are counted as events, all else in records.  Nothing
 * may get lost uncounted: records = accepted + dropped.
 */
#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "common/ring.h"
#include "history/history.h"

#define THREADS_MAX	16
#define MSG_RECORDS	400		/* as kmod/event.c */
#define DRAIN_NS	100000000ull
#define FILES		20000
#define TICK_NS		1000000ull

struct producer {
	struct augur_ring ring;
	pthread_t	thread;
	u32		cpu, seed;
	double		rate;			/* of events */
	u64		events, produced;	/* produced: records */
	bool		done;
};

static struct producer prod[THREADS_MAX];
static unsigned int threads = 2;
static struct io *io;
static struct history *h;
static u64 seconds = 10;

static u64 clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* ---- producers ---- */

static void fill(struct producer *p, struct augur_event *e, u8 op, u32 file)
{
	*e = (struct augur_event){
		.time_ns = cpu_to_le64(clock_ns(CLOCK_REALTIME)), .session_key = cpu_to_le64(0x1234567ull * (p->cpu + 1)),
		.off = cpu_to_le64(op == AUGUR_EV_READ ? file % 64 * 4096 : 0), .len = cpu_to_le64(4096),
		.open_id = cpu_to_le32(p->produced / 4 * THREADS_MAX + p->cpu + 1), .op = op, .flags = AUGUR_EVF_HIT,
		.cpu = cpu_to_le16(p->cpu),
	};
	e->oid[0] = 1;
	memcpy(e->oid + 8, &file, sizeof(file));
}

/* What an open, a read and a close leave: two records at once, then one each.  All or none of each. */
static void produce(struct producer *p)
{
	static const u8 ops[] = { AUGUR_EV_OPEN, AUGUR_EV_READ, AUGUR_EV_CLOSE };
	u32 file;

	p->seed = p->seed * 1103515245 + 12345;
	file = p->seed / 65536 % FILES;
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		u32 n = i ? 1 : 2;
		struct augur_event *e;
		bool kick = false;

		if (augur_ring_reserve(&p->ring, n, &kick)) {
			e = augur_ring_slot(&p->ring, 0);
			fill(p, e, ops[i], file);
			if (n == 2) {
				struct augur_event_who *w = (void *)augur_ring_slot(&p->ring, 1);

				*w = (struct augur_event_who){ .op = AUGUR_EV_WHO, .session_key = e->session_key,
							       .open_id = e->open_id, .tgid = cpu_to_le32(100 + p->cpu), .comm = "log_bench" };
			}
			augur_ring_commit(&p->ring, n);
		}
		if (kick)
			io->ops->wake(io);
		p->produced += n;
		p->events++;
	}
}

/* So many a second; what a late wake-up missed is made up for in part, as a burst no ring could hold proves nothing. */
static void *run_producer(void *arg)
{
	struct producer *p = arg;
	u64 begin = clock_ns(CLOCK_MONOTONIC), now = begin, skipped = 0;

	while (now - begin < seconds * 1000000000ull) {
		u64 due = (u64)((now - begin) / 1e9 * p->rate) - skipped;
		struct timespec ts = { .tv_nsec = TICK_NS };

		if (due > p->events + p->rate / 100) {
			skipped += due - p->events - (u64)(p->rate / 100);
			due = p->events + (u64)(p->rate / 100);
		}
		while (p->events < due)
			produce(p);
		nanosleep(&ts, NULL);
		now = clock_ns(CLOCK_MONOTONIC);
	}
	WRITE_ONCE(p->done, true);
	io->ops->wake(io);
	return NULL;
}

/* ---- the consumer: the loop ---- */

static void drain(struct producer *p)
{
	struct augur_event *rec;
	u64 n, seq;

	while ((n = augur_ring_peek(&p->ring, MSG_RECORDS, &rec, &seq))) {
		history_add(h, p->cpu, seq, READ_ONCE(p->ring.dropped), rec, n);
		augur_ring_consume(&p->ring, n);
	}
}

static void tick(struct io_op *op, int res)
{
}

static void loop(void)
{
	struct io_op timer = { .done = tick };
	bool busy = true;

	while (busy) {
		busy = false;
		if (!timer.busy)
			io->ops->timer(io, &timer, io_now(io) + DRAIN_NS);
		if (io->ops->step(io))
			errx(1, "the loop failed");
		for (unsigned int i = 0; i < threads; i++) {
			busy |= !READ_ONCE(prod[i].done);
			drain(&prod[i]);
		}
	}
	while (timer.busy)
		io->ops->step(io);
}

static void name(void *ctx, const u8 *oid)
{
	static const u8 root[AUGUR_OID_LEN];
	char text[32];

	history_name(h, oid, root, text, snprintf(text, sizeof(text), "file%u", *(const u32 *)(oid + 8)));
}

static bool written;

static void on_rows(void *arg, const struct history_result *res)
{
	written = true;
}

/* Waits until all is in the file. */
static void settle(void)
{
	struct history_query q = { .after = -1, .limit = 1 };

	history_read(h, &q, on_rows, NULL);
	while (!written)
		io->ops->step(io);
}

static void report(double took, double cpu)
{
	struct history_stats st;
	u64 events = 0, produced = 0, dropped = 0;

	for (unsigned int i = 0; i < threads; i++) {
		/* Drops after the last message are told with the next one. */
		history_add(h, prod[i].cpu, prod[i].ring.tail, prod[i].ring.dropped, NULL, 0);
		events += prod[i].events;
		produced += prod[i].produced;
		dropped += prod[i].ring.dropped;
	}
	history_stats(h, &st);
	printf("events %llu\nevents_a_second %.0f\nrecords %llu\nrecords_a_second %.0f\n", (unsigned long long)events,
	       events / took, (unsigned long long)produced, produced / took);
	printf("accepted %llu\ndropped %llu\n", (unsigned long long)st.accepted, (unsigned long long)history_dropped(&st));
	printf("dropped_ring %llu\ndropped_queue %llu\nuncounted %lld\n", (unsigned long long)dropped,
	       (unsigned long long)st.dropped_queue, (long long)(produced - st.accepted - history_dropped(&st)));
	printf("rows %llu\nbytes %llu\ncpu_us_a_record %.3f\n", (unsigned long long)st.rows, (unsigned long long)st.bytes,
	       cpu * 1e6 / max(st.accepted, (u64)1));
}

int main(int argc, char **argv)
{
	struct history_limits lim = { .rows = 100000000 };
	const char *dir = "/tmp";
	double rate = 100000;
	u64 ring_kib = 256, begin, cpu;
	char path[512];
	int c;

	while ((c = getopt(argc, argv, "d:r:s:k:t:")) != -1) {
		switch (c) {
		case 'd': dir = optarg; break;
		case 'r': rate = atof(optarg); break;
		case 's': seconds = strtoull(optarg, NULL, 10); break;
		case 'k': ring_kib = strtoull(optarg, NULL, 10); break;
		case 't': threads = atoi(optarg); break;
		default: errx(2, "usage: log_bench [-d DIR] [-r EVENTS_A_SECOND] [-s SECONDS] [-k RING_KIB] [-t THREADS]");
		}
	}
	if (!threads || threads > THREADS_MAX || !ring_kib || ring_kib & (ring_kib - 1))
		errx(2, "1 to %d threads, a ring of a power of two", THREADS_MAX);
	log_open("log_bench", LOG_L_WARN);
	io = io_new(NULL);
	snprintf(path, sizeof(path), "%s/log_bench.%d.db", dir, (int)getpid());
	if (!io || history_open(io, path, &lim, &h))
		errx(1, "%s cannot be opened", path);
	history_set_namer(h, name, NULL);
	begin = clock_ns(CLOCK_MONOTONIC);
	for (unsigned int i = 0; i < threads; i++) {
		prod[i] = (struct producer){ .cpu = i, .seed = i, .rate = rate / threads };
		prod[i].ring.size = ring_kib * 1024 / AUGUR_EVENT_LEN;
		prod[i].ring.rec = xcalloc(prod[i].ring.size, AUGUR_EVENT_LEN);
		if (pthread_create(&prod[i].thread, NULL, run_producer, &prod[i]))
			errx(1, "no thread");
	}
	loop();
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(prod[i].thread, NULL);
		drain(&prod[i]);
	}
	begin = clock_ns(CLOCK_MONOTONIC) - begin;
	settle();
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	report(begin / 1e9, cpu / 1e9);
	return 0;
}

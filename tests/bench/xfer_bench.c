// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * xfer_bench - the transfer engine over loopback against the limit of the same run: blocking
 * send and recv of a hot buffer, one thread each side.
 *
 *   xfer_bench [-d DIR] [-s SECONDS] [-n ROUNDS]
 *
 * DIR holds the file that is served (from the page cache) and the one that is filled; give a
 * directory on ext4, xfs or btrfs.  Rows: case, MiB/s and cpu seconds per GiB of both sides
 * (best round), microseconds (ping: p50), ratio to the limit of the same minute (median of
 * the rounds; raw_256k shows how well the limit repeats, raw_256k_file and raw_256k_fill what
 * reading the file before each send and writing one after each receive cost it).
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "base/log.h"
#include "xfer/conn.h"

#define FILE_BYTES	(64 * 1024 * 1024)
#define CHUNK		WIRE_DATA_MAX
#define PINGS		4000
#define ROUNDS_MAX	32

static double run_sec = 0.5;
static int rounds = 5, file_fd, fill_fd;

static double now_sec(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Both sides of every case sit on the same two processors, or a ratio compares placements. */
static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);	/* fails with one processor: as well */
}

/* ---- the engine's server, on a thread of its own ---- */

struct served { struct xfer_file f; struct xfer_conn *c; u32 stream; };

static void sent(struct xfer_file *f, s64 res)
{
	struct served *v = container_of(f, struct served, f);

	xfer_reply(v->c, v->stream, WIRE_READ, WIRE_LAST, res < 0 ? (int)res : 0, 0, NULL);
	free(v);
}

static int on_hello(void *ctx, struct xfer_conn *c, struct wire_in body, struct wire_out *out)
{
	return 0;
}

static void on_request(void *ctx, struct xfer_conn *c, const struct wire_hdr *h, struct wire_in in)
{
	struct served *v = xcalloc(1, sizeof(*v));
	struct wire_val f;

	while (wire_next(&in, &f) == 1) {
		if (f.tag == WF_OFF)
			wire_get_u64(&f, &v->f.off);
		else if (f.tag == WF_LEN)
			wire_get_u64(&f, &v->f.len);
	}
	v->f.fd = file_fd;
	v->f.done = sent;
	v->c = c;
	v->stream = h->stream;
	xfer_reply_file(c, h->stream, WIRE_READ, &v->f);
}

static void on_gone(void *ctx, struct xfer_conn *c) { }

static const struct xfer_server_ops server_ops = { on_hello, on_request, on_gone };
static struct io *server_io;
static volatile bool server_ready;
static u16 server_port;

static void *server_thread(void *arg)
{
	struct xfer_server *s;
	struct io *io;
	int err, port;

	pin(1);
	io = io_new(NULL);
	for (port = 23400, s = NULL; !s && port < 23500; port++) {
		char addr[32];

		snprintf(addr, sizeof(addr), "127.0.0.1:%d", port);
		s = xfer_server_new(io, addr, &server_ops, NULL, &err);
		server_port = port;
	}
	if (!s)
		exit(1);
	xfer_server_features(s, XFER_FEATURES | WIRE_F_SUM);
	server_io = io;
	__sync_synchronize();
	server_ready = true;
	io_run(io);
	return NULL;
}

/* ---- the engine's client ---- */

struct call { struct xfer_call x; struct bench *b; u64 off; };
struct bench {
	struct io	*io;
	struct xfer_peer *p;
	struct call	calls[16];
	u64		bytes, call_len, next_off;
	double		end;
	int		running, status;
	bool		fill;
};

static void start_call(struct bench *b, struct call *c);

static void got_frame(struct xfer_call *x, const struct wire_hdr *h, struct xfer_buf *buf)
{
	struct call *c = container_of(x, struct call, x);

	c->b->bytes += buf->len;
	if (c->b->fill && pwrite(fill_fd, buf->data, buf->len, h->off) != (ssize_t)buf->len)
		c->b->status = -EIO;
}

static void got_done(struct xfer_call *x, int status, const struct wire_hdr *h, struct xfer_buf *buf)
{
	struct call *c = container_of(x, struct call, x);

	if (status)
		c->b->status = status;
	if (!status && now_sec(CLOCK_MONOTONIC) < c->b->end)
		start_call(c->b, c);
	else
		c->b->running--;
}

static void start_call(struct bench *b, struct call *c)
{
	c->b = b;
	c->x.frame = got_frame;
	c->x.done = got_done;
	wire_out_init(&c->x.req);
	wire_put_u64(&c->x.req, WF_OFF, b->next_off);
	wire_put_u64(&c->x.req, WF_LEN, b->call_len);
	b->next_off = (b->next_off + b->call_len) % FILE_BYTES;
	xfer_call(b->p, &c->x, WIRE_READ);
}

struct result { double mibs, cpu_per_gib; };

static double cpu_sec(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return ru.ru_utime.tv_sec + ru.ru_utime.tv_usec / 1e6 + ru.ru_stime.tv_sec + ru.ru_stime.tv_usec / 1e6;
}

static struct result rate(u64 bytes, double sec, double cpu)
{
	return (struct result){ bytes / sec / (1 << 20), cpu / ((double)bytes / (1 << 30)) };
}

static struct result engine(struct xfer_peer *p, struct io *io, int qd, u64 call_len, bool fill)
{
	struct bench b = { .io = io, .p = p, .call_len = call_len, .fill = fill };
	double start = now_sec(CLOCK_MONOTONIC), cpu = cpu_sec();
	int i;

	b.end = start + run_sec;
	b.running = qd;
	for (i = 0; i < qd; i++)
		start_call(&b, &b.calls[i]);
	while (b.running)
		io->ops->step(io);
	if (b.status)
		fprintf(stderr, "engine failed: %d\n", b.status);
	return rate(b.bytes, now_sec(CLOCK_MONOTONIC) - start, cpu_sec() - cpu);
}

/* ---- the limit: blocking ---- */

static int pair[2];

static void raw_pair(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (bind(l, (struct sockaddr *)&sa, len) || listen(l, 1) || getsockname(l, (struct sockaddr *)&sa, &len))
		exit(1);
	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(pair[0], (struct sockaddr *)&sa, len))
		exit(1);
	pair[1] = accept(l, NULL, NULL);
	close(l);
	setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(pair[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* @arg: reads each chunk from the file first, as the engine's server does. */
static void *raw_sender(void *arg)
{
	char *buf = xcalloc(1, CHUNK);
	double end = now_sec(CLOCK_MONOTONIC) + run_sec;
	const bool *from_file = arg;
	u64 off = 0;

	pin(1);
	while (now_sec(CLOCK_MONOTONIC) < end) {
		size_t n = 0;

		if (*from_file && pread(file_fd, buf, CHUNK, off) != CHUNK)
			exit(1);
		off = (off + CHUNK) % FILE_BYTES;
		while (n < CHUNK) {
			ssize_t r = send(pair[0], buf + n, CHUNK - n, 0);

			if (r <= 0)
				exit(1);
			n += r;
		}
	}
	close(pair[0]);
	free(buf);
	return NULL;
}

/* @fill: each chunk is written to the file, as the engine's client does. */
static struct result raw(bool from_file, bool fill)
{
	double start = now_sec(CLOCK_MONOTONIC), cpu = cpu_sec();
	char *buf = xcalloc(1, CHUNK);
	u64 bytes = 0, off = 0;
	pthread_t t;
	ssize_t r;

	raw_pair();
	pthread_create(&t, NULL, raw_sender, &from_file);
	while ((r = recv(pair[1], buf, CHUNK, fill ? MSG_WAITALL : 0)) > 0) {
		bytes += r;
		if (!fill)
			continue;
		if (pwrite(fill_fd, buf, r, off) != r)
			exit(1);
		off = (off + r) % FILE_BYTES;
	}
	pthread_join(t, NULL);
	close(pair[1]);
	free(buf);
	return rate(bytes, now_sec(CLOCK_MONOTONIC) - start, cpu_sec() - cpu);
}

/* ---- ping ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double p50(double *us, int n)
{
	qsort(us, n, sizeof(*us), by_value);
	return us[n / 2];
}

static void *raw_ponger(void *arg)
{
	char b[32];

	pin(1);
	while (recv(pair[0], b, 32, 0) == 32 && send(pair[0], b, 32, 0) == 32)
		;
	return NULL;
}

static double raw_ping(void)
{
	static double us[PINGS];
	char b[32] = { 0 };
	pthread_t t;
	int i;

	raw_pair();
	pthread_create(&t, NULL, raw_ponger, NULL);
	for (i = 0; i < PINGS; i++) {
		double t0 = now_sec(CLOCK_MONOTONIC);

		if (send(pair[1], b, 32, 0) != 32 || recv(pair[1], b, 32, 0) != 32)
			exit(1);
		us[i] = (now_sec(CLOCK_MONOTONIC) - t0) * 1e6;
	}
	close(pair[1]);
	pthread_join(t, NULL);
	close(pair[0]);
	return p50(us, PINGS);
}

static bool ponged;

static void pong(struct xfer_call *x, int status, const struct wire_hdr *h, struct xfer_buf *buf)
{
	ponged = true;
}

static double engine_ping(struct xfer_peer *p, struct io *io)
{
	static double us[PINGS];
	struct xfer_call c = { .done = pong };
	int i;

	for (i = 0; i < PINGS; i++) {
		double t0 = now_sec(CLOCK_MONOTONIC);

		ponged = false;
		wire_out_init(&c.req);
		xfer_call(p, &c, WIRE_PING);
		while (!ponged)
			io->ops->step(io);
		us[i] = (now_sec(CLOCK_MONOTONIC) - t0) * 1e6;
	}
	return p50(us, PINGS);
}

/* ---- the run ---- */

/* What a case is measured against runs right before it, since machines change their mind. */
struct bench_case {
	const char	*name;
	int		qd;
	u64		len;
	bool		fill, sum, limit, file;
	struct result	best;
	double		ratio[ROUNDS_MAX], cpu_ratio[ROUNDS_MAX];
};

static struct bench_case cases[] = {
	{ .name = "raw_256k", .limit = true },
	{ .name = "raw_256k_file", .limit = true, .file = true },
	{ .name = "xfer_256k_qd1", .qd = 1, .len = CHUNK },
	{ .name = "xfer_256k_qd4", .qd = 4, .len = CHUNK },
	{ .name = "xfer_256k_qd16", .qd = 16, .len = CHUNK },
	{ .name = "xfer_1m_qd4", .qd = 4, .len = 1 << 20 },
	{ .name = "xfer_64m_qd1", .qd = 1, .len = FILE_BYTES },
	{ .name = "xfer_256k_qd16_sum", .qd = 16, .len = CHUNK, .sum = true },
	{ .name = "raw_256k_fill", .fill = true, .limit = true },
	{ .name = "xfer_256k_qd16_fill", .qd = 16, .len = CHUNK, .fill = true },
};

static void run_case(struct bench_case *b, struct xfer_peer *p, struct io *io, int round)
{
	struct result limit = raw(false, b->fill && !b->limit), r;

	r = b->limit ? raw(b->file, b->fill) : engine(p, io, b->qd, b->len, b->fill);
	b->ratio[round] = r.mibs / limit.mibs;
	b->cpu_ratio[round] = r.cpu_per_gib / limit.cpu_per_gib;
	if (r.mibs > b->best.mibs)
		b->best = r;
}

static struct xfer_peer *dial(struct io *io, u64 features)
{
	char addr[32];
	struct xfer_peer_cfg cfg = { .addr = addr, .volume = "/", .peer_id = "bench", .role = WIRE_ROLE_AGENT, .features = features };

	snprintf(addr, sizeof(addr), "127.0.0.1:%u", server_port);
	return xfer_peer_new(io, &cfg);
}

static int temp_file(const char *dir)
{
	CLEANUP_FREE char *path = xasprintf("%s/xfer_bench.XXXXXX", dir);
	CLEANUP_FREE char *buf = xcalloc(1, 1 << 20);
	int fd = mkstemp(path), i;

	if (fd < 0) {
		perror(path);
		exit(1);
	}
	unlink(path);
	for (i = 0; i < FILE_BYTES >> 20; i++)
		if (write(fd, buf, 1 << 20) != 1 << 20)
			exit(1);
	return fd;
}

int main(int argc, char **argv)
{
	double ping_raw = 1e9, ping_engine = 1e9;
	struct xfer_peer *p, *sums;
	const char *dir = ".";
	pthread_t t;
	struct io *io;
	int c, i;

	while ((c = getopt(argc, argv, "d:s:n:")) != -1) {
		switch (c) {
		case 'd': dir = optarg; break;
		case 's': run_sec = atof(optarg); break;
		case 'n': rounds = min(max(atoi(optarg), 1), ROUNDS_MAX); break;
		default:
			fprintf(stderr, "usage: xfer_bench [-d DIR] [-s SECONDS] [-n ROUNDS]\n");
			return 2;
		}
	}
	log_open("xfer_bench", LOG_L_ERR);
	pin(0);
	file_fd = temp_file(dir);
	fill_fd = temp_file(dir);
	pthread_create(&t, NULL, server_thread, NULL);
	while (!server_ready)
		usleep(1000);
	io = io_new(NULL);
	p = dial(io, 0);
	sums = dial(io, XFER_FEATURES | WIRE_F_SUM);
	for (i = 0; i < rounds; i++) {
		for (c = 0; c < (int)ARRAY_SIZE(cases); c++)
			run_case(&cases[c], cases[c].sum ? sums : p, io, i);
		ping_raw = min(ping_raw, raw_ping());
		ping_engine = min(ping_engine, engine_ping(p, io));
	}
	printf("case\tmib_s\tcpu_s_gib\tp50_us\tratio\tcpu_ratio\n");
	for (c = 0; c < (int)ARRAY_SIZE(cases); c++)
		printf("%s\t%.0f\t%.3f\t-\t%.2f\t%.2f\n", cases[c].name, cases[c].best.mibs,
		       cases[c].best.cpu_per_gib, p50(cases[c].ratio, rounds), p50(cases[c].cpu_ratio, rounds));
	printf("raw_ping\t-\t-\t%.1f\t1.00\t-\nxfer_ping\t-\t-\t%.1f\t%.2f\t-\n", ping_raw, ping_engine,
	       ping_engine / ping_raw);
	return 0;
}

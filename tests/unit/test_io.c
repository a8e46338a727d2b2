// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The I/O table, once for each implementation (the runner sets TEST_IO): timers, jobs, sockets,
 * files, ends by cancel and close, and the choice where io_uring is forbidden.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/io.h"
#include "base/log.h"
#include "loop.h"

static char dir[64];

/* ---- timers and jobs ---- */

struct tick { struct io_op op; int res, order; bool ended; };

static int order;

static void ticked(struct io_op *op, int res)
{
	struct tick *t = container_of(op, struct tick, op);

	t->res = res;
	t->order = order++;
	t->ended = true;
}

static void test_timers(void **st)
{
	enum { N = 300 };
	static struct tick t[N];
	u64 now = io_now(io), last = 0;
	int i;

	order = 0;
	memset(t, 0, sizeof(t));
	for (i = 0; i < N; i++) {
		t[i].op.done = ticked;
		io->ops->timer(io, &t[i].op, now + (i * 7919 % N) * MSEC / 5 + 1);
	}
	for (i = 0; i < N; i += 3)
		io->ops->cancel(io, &t[i].op);
	assert_false(t[0].ended);	/* never inside the call */
	while (order < N)
		assert_int_equal(io->ops->step(io), 0);
	assert_true(io_now(io) - now >= (N - 2) * MSEC / 5);
	for (i = 0; i < N; i++)
		assert_int_equal(t[i].res, i % 3 ? 0 : -ECANCELED);
	for (i = 0; i < N; i++)		/* in the order of their deadlines */
		for (int k = 0; k < N; k++)
			if (i % 3 && k % 3 && t[k].order == t[i].order + 1)
				last += (i * 7919 % N) > (k * 7919 % N);
	assert_int_equal(last, 0);
	/* A later timer that is replaced by an earlier one. */
	memset(t, 0, sizeof(t[0]) * 2);
	t[0].op.done = t[1].op.done = ticked;
	now = io_now(io);
	io->ops->timer(io, &t[0].op, now + 60000 * MSEC);
	io->ops->wake(io);
	io->ops->step(io);		/* the kernel knows of the first */
	io->ops->timer(io, &t[1].op, now + 20 * MSEC);
	step_until(&t[1].ended);
	assert_in_range(io_now(io) - now, 20 * MSEC, 500 * MSEC);
	io->ops->cancel(io, &t[0].op);
	step_until(&t[0].ended);
}

static int sleep_job(void *arg)
{
	usleep(*(int *)arg * 1000);
	return 42;
}

static void test_jobs(void **st)
{
	enum { N = 40 };
	static struct tick t[N], u;
	int ms = 5, long_ms = 150, i, cancelled = 0;
	u64 now = io_now(io);

	order = 0;
	memset(t, 0, sizeof(t));
	for (i = 0; i < N; i++) {
		t[i].op.done = ticked;
		io->ops->work(io, &t[i].op, IO_POOL_ORIGIN, sleep_job, i < 4 ? &long_ms : &ms);
	}
	/* The other pool is not held up by it. */
	memset(&u, 0, sizeof(u));
	u.op.done = ticked;
	io->ops->work(io, &u.op, IO_POOL_LOWER, sleep_job, &ms);
	step_until(&u.ended);
	assert_true(io_now(io) - now < 140 * MSEC);
	for (i = 20; i < N; i++)
		io->ops->cancel(io, &t[i].op);
	for (i = 0; i < N; i++) {
		step_until(&t[i].ended);
		cancelled += t[i].res == -ECANCELED;
		assert_true(t[i].res == 42 || t[i].res == -ECANCELED);
	}
	assert_in_range(cancelled, 15, 20);
}

/* ---- sockets and files ---- */

static void test_socket(void **st)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct tick acc = { .op.done = ticked }, con = { .op.done = ticked }, snd = { .op.done = ticked };
	struct tick rcv = { .op.done = ticked };
	size_t big = 8 << 20, got = 0;
	u8 *out = xmalloc(big), *in = xmalloc(big);
	socklen_t len = sizeof(sa);
	struct iovec iov[4];
	int l, i;

	l = io->ops->listen(io, (struct sockaddr *)&sa, sizeof(sa));
	assert_true(l >= 0);
	getsockname(l, (struct sockaddr *)&sa, &len);
	io->ops->accept(io, &acc.op, l);
	io->ops->connect(io, &con.op, (struct sockaddr *)&sa, len);
	step_until(&acc.ended);
	step_until(&con.ended);
	assert_true(acc.res >= 0 && con.res >= 0);
	/* More than any socket buffer, in four pieces: short sends are taken up again. */
	for (size_t k = 0; k < big; k++)
		out[k] = k * 2654435761U >> 13;
	for (i = 0; i < 4; i++)
		iov[i] = (struct iovec){ out + i * big / 4, big / 4 };
	io->ops->send(io, &snd.op, con.res, iov, 4);
	while (got < big) {
		rcv.ended = false;
		io->ops->recv(io, &rcv.op, acc.res, in + got, big - got, min(big - got, (size_t)100000));
		step_until(&rcv.ended);
		assert_true(rcv.res > 0);
		got += rcv.res;
	}
	step_until(&snd.ended);
	assert_int_equal(snd.res, big);
	assert_memory_equal(in, out, big);
	/* close() ends what waits on the descriptor. */
	rcv.ended = false;
	io->ops->recv(io, &rcv.op, acc.res, in, 100, 1);
	io->ops->wake(io);
	io->ops->step(io);
	io->ops->close(io, acc.res);
	step_until(&rcv.ended);
	assert_true(rcv.res <= 0);
	io->ops->close(io, con.res);
	acc.ended = false;
	io->ops->accept(io, &acc.op, l);
	io->ops->close(io, l);
	step_until(&acc.ended);
	assert_true(acc.res < 0);
	con.ended = false;
	io->ops->connect(io, &con.op, (struct sockaddr *)&sa, len);
	step_until(&con.ended);
	assert_int_equal(con.res, -ECONNREFUSED);
	free(in);
	free(out);
}

static void test_file(void **st)
{
	struct tick file = { .op.done = ticked };
	u8 out[5000], in[10000];
	char path[128];
	size_t i;
	int fd;

	for (i = 0; i < sizeof(out); i++)
		out[i] = i * 2654435761U >> 13;
	snprintf(path, sizeof(path), "%s/f", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	io->ops->write(io, &file.op, fd, out, 5000, 100);
	step_until(&file.ended);
	assert_int_equal(file.res, 5000);
	file.ended = false;
	io->ops->read(io, &file.op, fd, in, 10000, 600);
	step_until(&file.ended);
	assert_int_equal(file.res, 4500);
	assert_memory_equal(in, out + 500, 4500);
	close(fd);
}

static void *waker(void *arg)
{
	usleep(20000);
	io->ops->wake(io);
	return NULL;
}

static void test_wake(void **st)
{
	pthread_t t;

	pthread_create(&t, NULL, waker, NULL);
	assert_int_equal(io->ops->step(io), 0);	/* would wait for ever */
	pthread_join(t, NULL);
}

/* ---- ends that come from this side ---- */

static int listen_on(struct sockaddr_in *sa)
{
	socklen_t len = sizeof(*sa);
	int fd;

	*sa = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	fd = io->ops->listen(io, (struct sockaddr *)sa, len);
	assert_true(fd >= 0);
	getsockname(fd, (struct sockaddr *)sa, &len);
	return fd;
}

static void pair(int fd[2])
{
	struct tick acc = { .op.done = ticked }, con = { .op.done = ticked };
	struct sockaddr_in sa;
	int l = listen_on(&sa);

	io->ops->accept(io, &acc.op, l);
	io->ops->connect(io, &con.op, (struct sockaddr *)&sa, sizeof(sa));
	step_until(&acc.ended);
	step_until(&con.ended);
	fd[0] = acc.res;
	fd[1] = con.res;
	assert_true(fd[0] >= 0 && fd[1] >= 0);
	io->ops->close(io, l);
}

static void test_cancel(void **st)
{
	struct tick rcv = { .op.done = ticked }, acc = { .op.done = ticked }, snd = { .op.done = ticked };
	struct tick fresh = { .op.done = ticked };
	u8 in[16], *out = xcalloc(1, 32 << 20);
	struct iovec iov = { out, 32 << 20 };
	struct sockaddr_in sa;
	int fd[2], l = listen_on(&sa);

	pair(fd);
	io->ops->recv(io, &rcv.op, fd[0], in, sizeof(in), 1);
	io->ops->accept(io, &acc.op, l);
	io->ops->send(io, &snd.op, fd[0], &iov, 1);	/* more than the buffers hold: it waits in the middle */
	io->ops->wake(io);
	io->ops->step(io);
	io->ops->cancel(io, &rcv.op);
	io->ops->cancel(io, &acc.op);
	io->ops->cancel(io, &snd.op);
	assert_false(rcv.ended || acc.ended || snd.ended);
	step_until(&rcv.ended);
	step_until(&acc.ended);
	step_until(&snd.ended);
	assert_int_equal(rcv.res, -ECANCELED);
	assert_int_equal(acc.res, -ECANCELED);
	assert_int_equal(snd.res, -ECANCELED);
	/* One that no step has seen yet, and one that has ended. */
	io->ops->recv(io, &fresh.op, fd[0], in, sizeof(in), 1);
	io->ops->cancel(io, &fresh.op);
	step_until(&fresh.ended);
	assert_int_equal(fresh.res, -ECANCELED);
	io->ops->cancel(io, &fresh.op);
	io->ops->close(io, fd[0]);
	io->ops->close(io, fd[1]);
	io->ops->close(io, l);
	free(out);
}

/* A number that comes back as another descriptor, closed behind the table's back or through it. */
static void test_reuse(void **st)
{
	u8 in[4];
	int i, fd[2], old = -1;

	for (i = 0; i < 6; i++) {
		struct tick rcv = { .op.done = ticked }, p = { .op.done = ticked };

		pair(fd);
		assert_true(old < 0 || old == fd[0] || old == fd[1]);
		io->ops->poll_in(io, &p.op, fd[0]);
		io->ops->wake(io);
		io->ops->step(io);
		io->ops->cancel(io, &p.op);
		step_until(&p.ended);
		io->ops->recv(io, &rcv.op, fd[0], in, sizeof(in), 1);
		io->ops->wake(io);
		io->ops->step(io);
		assert_false(rcv.ended);
		assert_int_equal(send(fd[1], "abcd", 4, 0), 4);
		step_until(&rcv.ended);
		assert_int_equal(rcv.res, 4);
		old = fd[0];
		if (i % 2) {
			io->ops->close(io, fd[0]);
			io->ops->close(io, fd[1]);
		} else {
			close(fd[0]);
			close(fd[1]);
		}
	}
}

/* A poll is of the state, not of a change; the end of a stream and a dead peer are told. */
static void test_ends(void **st)
{
	struct tick p = { .op.done = ticked }, rcv = { .op.done = ticked }, snd = { .op.done = ticked };
	struct iovec iov = { "x", 1 };
	u8 in[4];
	int fd[2];

	pair(fd);
	assert_int_equal(send(fd[1], "ab", 2, 0), 2);
	for (int i = 0; i < 3; i++) {
		p.ended = false;
		io->ops->poll_in(io, &p.op, fd[0]);
		step_until(&p.ended);
		assert_int_equal(p.res, 0);
	}
	io->ops->recv(io, &rcv.op, fd[0], in, sizeof(in), 1);
	step_until(&rcv.ended);
	assert_int_equal(rcv.res, 2);
	io->ops->close(io, fd[1]);
	rcv.ended = false;
	io->ops->recv(io, &rcv.op, fd[0], in, sizeof(in), 1 << 20);
	step_until(&rcv.ended);
	assert_int_equal(rcv.res, 0);
	for (int i = 0; i < 10 && snd.res >= 0; i++) {
		snd.ended = false;
		io->ops->send(io, &snd.op, fd[0], &iov, 1);
		step_until(&snd.ended);
	}
	assert_true(snd.res == -EPIPE || snd.res == -ECONNRESET);
	io->ops->close(io, fd[0]);
	/* A number that is none. */
	rcv.ended = p.ended = false;
	io->ops->recv(io, &rcv.op, -1, in, sizeof(in), 1);
	io->ops->poll_in(io, &p.op, 999);
	step_until(&rcv.ended);
	step_until(&p.ended);
	assert_int_equal(rcv.res, -EBADF);
	assert_true(p.res == -EBADF || p.res == 0);
}

/* ---- the choice ---- */

/* From now on io_uring_setup() fails with @err in this process, as under a container's profile. */
static int forbid(int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static int forbidden_child(int err)
{
	struct io *got;

	if (forbid(err))
		return 77;
	got = io_new(NULL);
	if (!got || strcmp(got->ops->name, "epoll") || !strstr(got->why, err == EPERM ? "forbidden" : "no io_uring"))
		return 1;
	got->ops->destroy(got);
	return io_new("uring") || errno != err ? 2 : 0;
}

static void test_choice(void **st)
{
	static const int errs[] = { EPERM, ENOSYS };
	struct io *e = io_new("epoll");

	assert_non_null(e);
	assert_string_equal(e->ops->name, "epoll");
	assert_string_equal(e->why, "as configured");
	e->ops->destroy(e);
	for (size_t i = 0; i < ARRAY_SIZE(errs); i++) {
		pid_t pid = fork();
		int status;

		if (!pid)
			_exit(forbidden_child(errs[i]));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == 77)
			skip();
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

/* The table ends with operations in flight: no callback, no leak. */
static void test_destroy(void **st)
{
	struct io *e = io_new(getenv("TEST_IO"));
	struct tick t[4] = { 0 };
	struct sockaddr_in sa;
	int l = listen_on(&sa), ms = 1;

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		t[i].op.done = ticked;
	e->ops->accept(e, &t[0].op, l);
	e->ops->timer(e, &t[1].op, io_now(e) + 1000 * 1000 * MSEC);
	e->ops->work(e, &t[2].op, IO_POOL_MISC, sleep_job, &ms);
	e->ops->poll_in(e, &t[3].op, l);
	e->ops->wake(e);
	e->ops->step(e);
	e->ops->destroy(e);
	assert_false(t[0].ended || t[1].ended || t[3].ended);
	io->ops->close(io, l);
}

/* ---- frame ---- */

static int setup(void **st)
{
	log_open("test", getenv("TEST_LOG") ? LOG_L_DEBUG : LOG_L_ERR - 1);
	snprintf(dir, sizeof(dir), "/tmp/test_io.XXXXXX");
	io = io_new(getenv("TEST_IO"));
	return io && mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **st)
{
	CLEANUP_FREE char *cmd = xasprintf("rm -rf '%s'", dir);

	io->ops->destroy(io);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_jobs),
		cmocka_unit_test(test_socket),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_wake),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_destroy),
	};

	return cmocka_run_group_tests_name("io", tests, setup, teardown);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The control socket: one line in, JSON lines out; what is not a request is refused; a client
 * that hangs up is told to the verb; a socket left by a dead daemon is replaced, a live one and
 * whatever is no socket are not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "ctl/server.h"

static struct io *io;
static struct ctl_server *srv;
static char path[64];
static struct ctl_req *held;
static bool gone;

static void verb_echo(void *ctx, struct ctl_req *r, json_t *args)
{
	ctl_row(r, json_pack("{s:i}", "n", 1));
	ctl_progress(r, json_pack("{s:i}", "files", 2));
	ctl_ok(r, json_pack("{s:s}", "said", ctl_arg_str(args, "say")));
}

static void verb_fail(void *ctx, struct ctl_req *r, json_t *args)
{
	ctl_fail(r, AUGUR_E_CACHE_BUSY, -EBUSY, "cache=%s", "/x\x01");
}

static void on_gone(void *arg)
{
	gone = true;
}

static void verb_hold(void *ctx, struct ctl_req *r, json_t *args)
{
	held = r;
	ctl_on_gone(r, on_gone, NULL);
}

static const struct ctl_verb verbs[] = {
	{ "echo", verb_echo }, { "fail", verb_fail }, { "hold", verb_hold }, { NULL, NULL },
};

static int setup(void **state)
{
	int err;

	snprintf(path, sizeof(path), "/tmp/augur-test-ctl.%d/sock", (int)getpid());
	srv = ctl_server_new(io, path, verbs, NULL, &err);
	assert_non_null(srv);
	gone = false;
	return 0;
}

static void tick(struct io_op *op, int res)
{
}

#define DEADLINE_NS	(10ull * 1000000000)	/* for what must come, on a machine however busy */

static void steps(unsigned int ms)
{
	struct io_op op = { .done = tick };

	io->ops->timer(io, &op, io_now(io) + ms * 1000000ull);
	while (op.busy)
		assert_int_equal(io->ops->step(io), 0);
}

static int teardown(void **state)
{
	ctl_server_free(srv);
	steps(5);
	return 0;
}

static int client(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, path);
	assert_int_equal(connect(fd, (void *)&sun, sizeof(sun)), 0);
	return fd;
}

static const char *answer(const char *request)
{
	static char buf[4096];
	int fd = client();
	size_t len = 0;
	ssize_t n;

	assert_int_equal(write(fd, request, strlen(request)), strlen(request));
	for (u64 end = io_now(io) + DEADLINE_NS;;) {
		n = recv(fd, buf + len, sizeof(buf) - 1 - len, MSG_DONTWAIT);
		if (n > 0)
			len += n;
		else if (n == 0)
			break;		/* the server has closed */
		else
			assert_true(io_now(io) < end);
		if (n < 0)
			steps(1);
	}
	buf[len] = 0;
	close(fd);
	return buf;
}

static void answers(void **state)
{
	struct stat st;

	assert_string_equal(answer("{\"verb\": \"echo\", \"say\": \"hi\"}\n"),
			    "{\"row\":{\"n\":1}}\n{\"progress\":{\"files\":2}}\n{\"schema\":\"augur.echo/1\",\"ok\":true,\"said\":\"hi\"}\n");
	assert_non_null(strstr(answer("{\"verb\": \"fail\"}\n"),
			       "\"error\":\"AUGUR_E_CACHE_BUSY\",\"errno\":16,\"message\":\"another augurd serves this cache directory: cache=/x\\\\x01\""));
	assert_non_null(strstr(answer("{\"verb\": \"nothing\"}\n"), "AUGUR_E_USAGE"));
	assert_non_null(strstr(answer("[1]\n"), "AUGUR_E_USAGE"));
	assert_non_null(strstr(answer("\xff\xfe\n"), "AUGUR_E_USAGE"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_line_without_end(void **state)
{
	static char big[CTL_REQ_MAX + 100];
	int fd = client();
	char c;

	memset(big, 'x', sizeof(big));
	assert_true(write(fd, big, sizeof(big)) > 0);
	steps(50);
	assert_true(recv(fd, &c, 1, MSG_DONTWAIT) <= 0);
	close(fd);
	/* And it still serves. */
	assert_non_null(strstr(answer("{\"verb\": \"fail\"}\n"), "AUGUR_E_CACHE_BUSY"));
}

static void hang_up(void **state)
{
	int fd = client();

	assert_true(write(fd, "{\"verb\": \"hold\"}\n", 17) > 0);
	for (u64 end = io_now(io) + DEADLINE_NS; !held && io_now(io) < end;)
		steps(1);
	assert_non_null(held);
	assert_false(gone);
	close(fd);
	for (u64 end = io_now(io) + DEADLINE_NS; !gone && io_now(io) < end;)
		steps(1);
	assert_true(gone);
	ctl_row(held, json_object());
	ctl_ok(held, NULL);
	steps(5);
}

static void sockets(void **state)
{
	struct ctl_server *other;
	int err = 0;

	other = ctl_server_new(io, path, verbs, NULL, &err);
	assert_null(other);
	assert_int_equal(err, -EADDRINUSE);
	/* A file left behind by a daemon that was killed. */
	ctl_server_free(srv);
	steps(5);
	{
		struct sockaddr_un sun = { .sun_family = AF_UNIX };
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		strcpy(sun.sun_path, path);
		assert_int_equal(bind(fd, (void *)&sun, sizeof(sun)), 0);
		close(fd);
	}
	srv = ctl_server_new(io, path, verbs, NULL, &err);
	assert_non_null(srv);
}

/* What is no socket is somebody's file. */
static void files(void **state)
{
	char file[80], link[80], at[80];
	struct ctl_server *other;
	struct stat st;
	int err = 0, fd;

	snprintf(file, sizeof(file), "%s.file", path);
	snprintf(link, sizeof(link), "%s.link", path);
	fd = open(file, O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	assert_int_equal(symlink(file, link), 0);
	for (int i = 0; i < 2; i++) {
		other = ctl_server_new(io, i ? link : file, verbs, NULL, &err);
		assert_null(other);
		assert_int_equal(err, -EEXIST);
	}
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 8);
	assert_true(readlink(link, at, sizeof(at)) > 0);
	assert_null(ctl_server_new(io, "", verbs, NULL, &err));
	assert_int_equal(err, -EINVAL);
	unlink(file);
	unlink(link);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(answers), T(a_line_without_end), T(hang_up), T(sockets), T(files) };
	int failed;

	log_open("test_ctl", LOG_L_ERR - 1);
	io = io_new(getenv("TEST_IO"));
	if (!io) {
		printf("no I/O table here\n");
		return 77;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	io->ops->destroy(io);
	*strrchr(path, '/') = 0;
	rmdir(path);
	return failed;
}

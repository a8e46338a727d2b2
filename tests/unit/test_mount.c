// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The mount helper without a kernel: its JSON reader, its options, the source's syntax, and
 * the talk with augurd, which a forked process plays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/mount/json1.c"
#include "tools/mount/opts.c"
#include "tools/mount/attach.c"

/* The helper keeps its option strings until it exits, by design. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:opts_parse";
}

static char said[4096];

void say(const char *hint, const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	n += (size_t)vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
	snprintf(said + n, sizeof(said) - n, " | %s\n", hint ? hint : "");
}

/* ---- JSON ---- */

static void test_json_check(void **state)
{
	static const char *const good[] = {
		"{}", " {\"a\":1} ", "{\"a\":{\"b\":[1,2,{}]},\"c\":null}", "{\"a\":\"\\u00e9\\n\\\\\"}",
	};
	static const char *const bad[] = {
		"", "{", "}", "[]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1}x", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}",
		"{\"a\":\"", "{\"a\":tru}", "{a:1}", "{\"a\":[1,}", "{\"a\":\"\n\"}",
		"{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}",
	};
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(json1_check(good[i], strlen(good[i])), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(json1_check(bad[i], strlen(bad[i])), -EBADMSG);
}

/* Every prefix of a good line is refused, and nothing is read beyond it (ASan looks). */
static void test_json_cut(void **state)
{
	static const char line[] = "{\"ok\":true,\"s\":\"a\\u0041\\\"b\",\"n\":-1.5e3,\"o\":{\"x\":[false,null]}}";
	size_t n;

	for (n = 0; n < sizeof(line) - 1; n++) {
		char *copy = malloc(n ? n : 1);

		memcpy(copy, line, n);
		assert_int_equal(json1_check(copy, n), -EBADMSG);
		free(copy);
	}
	assert_int_equal(json1_check(line, sizeof(line) - 1), 0);
}

static void test_json_get(void **state)
{
	static const char line[] = "{\"o\":{\"message\":\"inner\"},\"message\":\"a\\u001b[1m\\tb\",\"ok\":false,\"n\":12}";
	size_t len = sizeof(line) - 1;
	char out[16];

	assert_int_equal(json1_get(line, len, "message", out, sizeof(out)), JSON1_STRING);
	assert_string_equal(out, "a?[1m?b");
	assert_int_equal(json1_get(line, len, "message", out, 4), JSON1_STRING);
	assert_string_equal(out, "a?[");
	assert_int_equal(json1_get(line, len, "ok", NULL, 0), JSON1_FALSE);
	assert_int_equal(json1_get(line, len, "n", out, sizeof(out)), JSON1_NUMBER);
	assert_string_equal(out, "12");
	assert_int_equal(json1_get(line, len, "none", out, sizeof(out)), JSON1_ABSENT);
	assert_true(json1_quote("a\"\\\n", out, sizeof(out)) > 0);
	assert_string_equal(out, "\"a\\\"\\\\\\u000a\"");
	assert_int_equal(json1_quote("aaaaaaaaaaaaaaaaaaaa", out, sizeof(out)), -ENOSPC);
}

/* ---- options ---- */

static void test_options(void **state)
{
	struct request rq = { .attr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };

	assert_int_equal(opts_parse(&rq, "rw,_netdev,nofail,x-systemd.requires=a.service,cache=/c,suid,noatime,"
				    "on_loss=eio,timeout_ms=5000,user=joe"), 0);
	assert_string_equal(rq.cache, "/c");
	assert_int_equal(rq.attr, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME);
	assert_int_equal(rq.timeout_ms, 5000);
	assert_int_equal(rq.nopts, 2);
	assert_string_equal(rq.opts[0].key, "on_loss");
	assert_string_equal(rq.opts[1].val, "5000");
	assert_int_equal(opts_parse(&rq, "nosuid,relatime,strange"), 0);
	assert_int_equal(rq.attr, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	assert_string_equal(rq.opts[2].key, "strange");
	assert_int_equal(opts_parse(&rq, "cache="), EX_USAGE_);
	assert_int_equal(opts_parse(&rq, "timeout_ms=99"), EX_USAGE_);
	assert_int_equal(opts_parse(&rq, "timeout_ms=1e3"), EX_USAGE_);
}

static void test_too_many_options(void **state)
{
	struct request rq = { 0 };
	char list[4 * (OPTS_MAX + 2)] = "";
	int i;

	for (i = 0; i <= OPTS_MAX; i++)
		strcat(list, "q=1,");
	assert_int_equal(opts_parse(&rq, list), EX_USAGE_);
}

static void test_source(void **state)
{
	static const char *const good[] = {
		"p:/v", "p1,p2:/v", "p1:7433,10.0.0.2:99:/home", "p:1:/v", "p:65535:/v", "[::1]:/v", "[fe80::1%eth0]:7433,p:/v",
	};
	static const char *const bad[] = {
		"", "p", "p:", "p:/", "p/v", ":/v", ",p:/v", "p,:/v", "p,,q:/v", "p:/a/b", "p:x:/v", "p::/v", "[]:/v",
		"[::1:/v", "p q:/v", "p:123456:/v", "p:0:/v", "p:99999:/v", "p,q:65536:/v", "[::1]:0:/v", "[::g]:/v",
		"p:/0123456789012345678901234567890123456789012345678901234567890123",
	};
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(source_check(good[i]), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (source_check(bad[i]) != EX_USAGE_)
			fail_msg("taken: %s", bad[i]);
}

/* ---- the talk with augurd ---- */

static char sock[64];

/* A process that takes one connection, reads the request and sends @answer. */
static pid_t play(const char *answer, bool linger)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), conn;
	char buf[4096];
	pid_t pid;

	snprintf(sock, sizeof(sock), "/tmp/augur-test-mount.%d", (int)getpid());
	unlink(sock);
	strcpy(sun.sun_path, sock);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	pid = fork();
	if (!pid) {
		conn = accept(fd, NULL, NULL);
		if (read(conn, buf, sizeof(buf)) > 0 && write(conn, answer, strlen(answer)) >= 0 && linger)
			pause();
		_exit(0);
	}
	close(fd);
	return pid;
}

static int talk_to(const char *answer, bool linger, struct request *rq)
{
	pid_t pid = play(answer, linger);
	int ret;

	said[0] = '\0';
	*rq = (struct request){ .source = "p:/v", .cache = "/c", .ctl = sock, .timeout_ms = 500 };
	ret = attach(rq, clock_ms() + rq->timeout_ms);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(sock);
	return ret;
}

static void test_attach(void **state)
{
	struct request rq;

	assert_int_equal(talk_to("{\"progress\":{}}\n{\"schema\":\"augur.attach/1\",\"ok\":true,\"cache\":\"/real\"}\n",
				 false, &rq), 0);
	assert_string_equal(rq.cache, "/real");
	assert_string_equal(said, "");
	assert_int_equal(talk_to("{\"ok\":true,\"source\":\"p:/v\"}\n", false, &rq), 0);
	assert_string_equal(said, "");
	assert_int_equal(talk_to("{\"ok\":true,\"source\":\"q:/v\"}\n", false, &rq), 0);
	assert_non_null(strstr(said, "by q:/v, and goes on with those"));
	assert_int_equal(talk_to("{\"ok\":false,\"error\":\"AUGUR_E_NO_VOLUME\",\"message\":\"no such volume\","
				 "\"hint\":\"look\"}\n", false, &rq), EX_FAIL);
	assert_string_equal(said, "no such volume (AUGUR_E_NO_VOLUME) | look\n");
	assert_string_equal(rq.cache, "/c");
	assert_int_equal(talk_to("{\"ok\":true,\"cac", false, &rq), EX_FAIL);
	assert_non_null(strstr(said, "cut short or not understood"));
	assert_int_equal(talk_to("nonsense\n", false, &rq), EX_FAIL);
	assert_non_null(strstr(said, "cut short or not understood"));
	assert_int_equal(talk_to("{\"ok\":\"true\"}\n", false, &rq), EX_FAIL);
	assert_int_equal(talk_to("{\"progress\":{}}\n", true, &rq), EX_FAIL);
	assert_non_null(strstr(said, "did not answer within 500 ms"));
}

static void test_attach_nobody(void **state)
{
	struct request rq = { .source = "p:/v", .cache = "/c", .ctl = "/nonexistent/sock", .timeout_ms = 300 };
	unsigned long long start = clock_ms();

	said[0] = '\0';
	assert_int_equal(attach(&rq, start + rq.timeout_ms), EX_FAIL);
	assert_non_null(strstr(said, "systemctl start augurd"));
	assert_true(clock_ms() - start < 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_check), cmocka_unit_test(test_json_cut), cmocka_unit_test(test_json_get),
		cmocka_unit_test(test_options), cmocka_unit_test(test_too_many_options), cmocka_unit_test(test_source),
		cmocka_unit_test(test_attach), cmocka_unit_test(test_attach_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

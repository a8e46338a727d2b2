// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the control socket (daemon/ctl/server.c): a request in any pieces, to verbs that hand
 * back all they were given.  Every request that is a line is answered by exactly one last line,
 * all lines are JSON that says what the protocol says, and nothing of a request survives it.
 *
 * Input: one byte that says how it is cut and whether the client hangs up; then the line.
 */
#include <jansson.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/log.h"
#include "ctl/server.h"
#include "fuzz_io.h"

static struct ctl_server *srv;
static struct io_op *accept_op;
static struct ctl_req *later;
static int fds[2];
static unsigned int gone, begun;

static void on_gone(void *arg)
{
	gone++;
}

static json_t *echo_of(json_t *args, const char *key)
{
	json_t *o = json_object();
	const char *s = ctl_arg_str(args, key);
	json_t *text = s ? ctl_json_bytes(s, strlen(s)) : NULL;
	const char *back = json_string_value(text);

	assert(!s || back);
	for (; s && *back; back++)	/* fit for a terminal */
		assert((unsigned char)*back >= 0x20 && *back != 0x7f);
	json_object_set_new(o, "text", text ? text : json_null());
	json_object_set_new(o, "hex", s ? ctl_json_hex(s, strlen(s)) : json_null());
	json_object_set_new(o, "number", json_integer(ctl_arg_int(args, "n", -7)));
	return o;
}

static void v_echo(void *ctx, struct ctl_req *r, json_t *args)
{
	begun++;
	ctl_row(r, echo_of(args, "path"));
	ctl_progress(r, echo_of(args, "mount"));
	ctl_ok(r, echo_of(args, "source"));
}

static void v_fail(void *ctx, struct ctl_req *r, json_t *args)
{
	const char *path = ctl_arg_str(args, "path");

	begun++;
	ctl_fail(r, AUGUR_E_USAGE, -EINVAL, path ? "path=%s" : NULL, path);
}

/* Answered when all has been received, or the client is gone. */
static void v_later(void *ctx, struct ctl_req *r, json_t *args)
{
	begun++;
	later = r;
	ctl_on_gone(r, on_gone, NULL);
}

static const struct ctl_verb verbs[] = { { "echo", v_echo }, { "fail", v_fail }, { "later", v_later }, { NULL, NULL } };

static void start(void)
{
	char path[64];
	int err;

	log_open("fuzz", 0);
	snprintf(path, sizeof(path), "/tmp/augur-fuzz-ctl.%d", (int)getpid());
	srv = ctl_server_new(&fz_io, path, verbs, NULL, &err);
	assert(srv && !socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	unlink(path);
}

/* Every line is one object; the one with "ok" is the last, and has what it must. */
static unsigned int check_lines(void)
{
	const char *p = (const char *)fz.out, *end = p + fz.out_len;
	unsigned int lasts = 0;

	while (p < end) {
		const char *nl = memchr(p, '\n', end - p);
		json_t *o = nl ? json_loadb(p, nl - p, JSON_REJECT_DUPLICATES, NULL) : NULL;

		assert(json_is_object(o) && !lasts);
		if (json_is_boolean(json_object_get(o, "ok"))) {
			assert(!strncmp(json_string_value(json_object_get(o, "schema")), "augur.", 6));
			assert(json_is_true(json_object_get(o, "ok")) || json_is_string(json_object_get(o, "message")));
			lasts++;
		} else {
			assert(json_is_object(json_object_get(o, "row")) || json_is_object(json_object_get(o, "progress")));
		}
		json_decref(o);
		p = nl + 1;
	}
	return lasts;
}

/* The listening half, whose accept operation is the server's own. */
static void take_accept(struct io *io, struct io_op *op, int fd)
{
	op->busy = true;
	accept_op = op;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct io_ops ops;
	size_t i = 1, n, line;
	bool hang_up;

	if (!srv) {
		ops = fz_ops;
		ops.accept = take_accept;
		fz_io.ops = &ops;
		start();
	}
	if (!size)
		return 0;
	fz.out_len = gone = begun = 0;
	hang_up = data[0] & 0x80;
	accept_op->done(accept_op, fds[0]);
	while (i < size && fz.rx) {
		n = data[0] & 0x7f ? data[0] & 0x7f : size;
		i += fz_feed(data + i, min(n, size - i));
	}
	if (hang_up && fz.rx)
		fz_feed(data, 0);
	if (later)
		ctl_ok(later, NULL);
	later = NULL;
	fz_turn();
	while (fz.rx)
		fz_feed(data, 0);
	fz_turn();
	assert(begun <= 1 && gone <= begun);
	line = memchr(data + 1, '\n', size - 1) ? (const u8 *)memchr(data + 1, '\n', size - 1) - data : 0;
	n = check_lines();
	assert(n == (line && line <= CTL_REQ_MAX) || hang_up);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * client.c - the asking side of augurd's control socket (ctl_proto.h).
 *
 * One request a connection.  Lines are bounded, a silent daemon is an error after
 * a->timeout_s, and nothing that comes back is believed before its shape was checked.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include "augur.h"

#define LINE_MAX_BYTES (4 * 1024 * 1024)

static void fault_down(struct augur *a, int err)
{
	if (err == EACCES || err == EPERM)
		fault_set(&a->fault, AUGUR_E_PERMISSION, err, "may not talk to augurd at %s", a->ctl);
	else
		fault_set(&a->fault, AUGUR_E_DAEMON_DOWN, err, "augurd does not answer at %s: %s",
			  a->ctl, strerror(err));
}

bool fault_is_down(const struct fault *f)
{
	return f->code && !strcmp(f->code, "AUGUR_E_DAEMON_DOWN");
}

bool fault_is_permission(const struct fault *f)
{
	return f->code && !strcmp(f->code, "AUGUR_E_PERMISSION");
}

static int dial(struct augur *a)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(a->ctl) >= sizeof(sun.sun_path)) {
		fault_set(&a->fault, AUGUR_E_USAGE, ENAMETOOLONG, "the path of the control socket is too long");
		return -1;
	}
	strcpy(sun.sun_path, a->ctl);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
		fault_down(a, errno);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static int send_request(struct augur *a, int fd, json_t *req)
{
	CLEANUP_FREE char *text = NULL;
	size_t len, off = 0;

	if (!json_object_get(req, "verb"))
		json_object_set_new(req, "verb", json_string(a->verb->name));
	text = json_dumps(req, JSON_COMPACT);
	len = text ? strlen(text) : 0;
	if (!text || len + 1 > CTL_REQ_MAX) {
		fault_set(&a->fault, AUGUR_E_USAGE, E2BIG,
			  text ? "the request is longer than %d bytes" : "the request cannot be written (limit %d bytes)",
			  CTL_REQ_MAX);
		return -1;
	}
	text[len++] = '\n';		/* in place of the terminator */
	while (off < len) {
		ssize_t n = send(fd, text + off, len - off, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR) {
			fault_down(a, errno);
			return -1;
		}
		off += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

struct reader {
	char	*buf;
	size_t	have, cap, line;	/* line: bytes of the line handed out, newline included */
};

static int fill(struct augur *a, int fd, struct reader *r)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	ssize_t n;
	int ready;

	if (r->have + 4096 > r->cap) {
		if (r->cap >= LINE_MAX_BYTES) {
			fault_set(&a->fault, AUGUR_E_ANSWER, EMSGSIZE, "a line of the answer is longer than %d bytes",
				  LINE_MAX_BYTES);
			return -1;
		}
		r->cap = r->cap ? r->cap * 2 : 16384;
		r->buf = xrealloc(r->buf, r->cap);
	}
	ready = poll(&pfd, 1, a->timeout_s ? a->timeout_s * 1000 : -1);
	if (ready == 0) {
		fault_set(&a->fault, AUGUR_E_TIMEOUT, ETIMEDOUT, "augurd said nothing for %d s", a->timeout_s);
		return -1;
	}
	n = ready < 0 ? -1 : recv(fd, r->buf + r->have, r->cap - r->have, 0);
	if (n < 0 && errno != EINTR) {
		fault_set(&a->fault, AUGUR_E_ANSWER, errno, "reading the answer: %s", strerror(errno));
		return -1;
	}
	if (n == 0) {
		fault_set(&a->fault, AUGUR_E_ANSWER, EBADMSG, r->have ? "the answer is cut short" :
			  "augurd closed the connection without an answer");
		return -1;
	}
	r->have += n > 0 ? (size_t)n : 0;
	return 0;
}

/* Next line as an object, or NULL with the fault set. */
static json_t *next_line(struct augur *a, int fd, struct reader *r)
{
	json_error_t err;
	json_t *obj;
	char *nl;

	if (r->line) {
		r->have -= r->line;
		memmove(r->buf, r->buf + r->line, r->have);
		r->line = 0;
	}
	while (!(nl = r->have ? memchr(r->buf, '\n', r->have) : NULL))
		if (fill(a, fd, r))
			return NULL;
	r->line = (size_t)(nl - r->buf) + 1;
	obj = json_loadb(r->buf, r->line, JSON_REJECT_DUPLICATES, &err);
	if (!json_is_object(obj)) {
		json_decref(obj);
		fault_set(&a->fault, AUGUR_E_ANSWER, EBADMSG, "the answer is not JSON: %s",
			  obj ? "not an object" : err.text);
		return NULL;
	}
	return obj;
}

/* The last line: ok, or the daemon's own fault. */
static json_t *judge(struct augur *a, json_t *obj)
{
	const char *schema = json_str(obj, "schema", "");
	char want[64];
	struct fault *f = &a->fault;

	snprintf(want, sizeof(want), "augur.%s/1", a->verb->name);
	if (strcmp(schema, want)) {
		fault_set(f, AUGUR_E_PROTO, EPROTO, "augurd answers in schema '%s', this command knows '%s'",
			  printable(schema), want);
	} else if (json_bool(obj, "ok", false)) {
		return obj;
	} else {
		static char code[64];

		snprintf(code, sizeof(code), "%s", printable(json_str(obj, "error", "AUGUR_E_INTERNAL")));
		f->code = code;
		f->err = (int)json_int(obj, "errno", 0);
		f->err = f->err < 0 ? -f->err : f->err;
		snprintf(f->message, sizeof(f->message), "%s",
			 printable(json_str(obj, "message", "augurd refused and did not say why")));
		snprintf(f->hint, sizeof(f->hint), "%s", printable(json_str(obj, "hint", "")));
	}
	json_decref(obj);
	return NULL;
}

static json_t *converse(struct augur *a, int fd, struct reader *r, client_line_fn *line, void *ctx)
{
	for (;;) {
		json_t *obj = next_line(a, fd, r), *part;
		const char *kind = "progress";
		int ret;

		if (!obj)
			return NULL;
		if (json_object_get(obj, "ok"))
			return judge(a, obj);
		part = json_object_get(obj, kind);
		if (!part)
			part = json_object_get(obj, kind = "row");
		if (!json_is_object(part)) {
			fault_set(&a->fault, AUGUR_E_ANSWER, EBADMSG, "a line of the answer is neither progress, row nor result");
			json_decref(obj);
			return NULL;
		}
		ret = line ? line(ctx, kind, part) : 0;
		json_decref(obj);
		if (ret) {
			fault_set(&a->fault, AUGUR_E_INTERNAL, ECANCELED, "stopped");
			return NULL;
		}
	}
}

json_t *client_call(struct augur *a, json_t *req, client_line_fn *line, void *ctx)
{
	struct reader r = { 0 };
	json_t *last = NULL;
	int fd;

	memset(&a->fault, 0, sizeof(a->fault));
	fd = dial(a);
	if (fd >= 0 && !send_request(a, fd, req))
		last = converse(a, fd, &r, line, ctx);
	json_decref(req);
	free(r.buf);
	if (fd >= 0)
		close(fd);
	return last;
}

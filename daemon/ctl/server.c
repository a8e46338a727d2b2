// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * server.c - the control socket: accepts, reads one line of JSON, calls the verb, sends
 * JSON lines.  Owns connections (struct ctl_req), loop thread only.
 *
 * A connection lives until its last I/O operation has come back, the verb has ended the
 * request and the socket is closed; each of these holds a reference.
 */
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/mem.h"
#include "ctl/server.h"

#define CONNS_MAX	64
#define ACCEPT_PAUSE_NS	1000000000ull
#define OUT_MAX		(16u << 20)	/* a client that does not read is cut off */

struct ctl_server {
	struct io		*io;
	int			fd;
	char			*path;
	const struct ctl_verb	*verbs;
	void			*ctx;
	struct list		conns;
	unsigned int		nconns;
	struct io_op		accept_op;
	bool			accepting, pausing, closing;
};

struct ctl_req {
	struct list		link;
	struct ctl_server	*srv;		/* NULL once the server is freed */
	struct io		*io;
	unsigned int		refs;
	int			fd;
	char			verb[32];
	char			*in;		/* CTL_REQ_MAX + 1 */
	size_t			in_len;
	char			*out;		/* waiting to be sent */
	size_t			out_len, out_cap;
	char			*sending;	/* being sent */
	size_t			sending_len;
	struct io_op		recv_op, send_op;
	bool			running, ended, dead;
	char			drain[64];
	void			(*gone)(void *arg);
	void			*gone_arg;
};

/* ---- causes ---- */

static const struct { const char *name, *message, *hint; } causes[] = {
#define X(n, msg, hint) { #n, msg, hint },
	CTL_ERRORS(X)
#undef X
};

const char *ctl_error_name(enum ctl_error e)
{
	return causes[e].name;
}

const char *ctl_error_message(enum ctl_error e)
{
	return causes[e].message;
}

const char *ctl_error_hint(enum ctl_error e)
{
	return causes[e].hint;
}

/* ---- connection ---- */

static void req_put(struct ctl_req *r)
{
	if (--r->refs)
		return;
	free(r->in);
	free(r->out);
	free(r->sending);
	free(r);
}

static void req_close(struct ctl_req *r)
{
	if (r->dead)
		return;
	r->dead = true;
	r->io->ops->close(r->io, r->fd);
	r->fd = -1;
	if (r->srv) {
		list_del(&r->link);
		r->srv->nconns--;
	}
	if (r->running && !r->ended && r->gone) {
		void (*gone)(void *) = r->gone;

		r->gone = NULL;
		gone(r->gone_arg);
	}
	req_put(r);		/* the socket's */
}

static void send_next(struct ctl_req *r);

static void send_done(struct io_op *op, int res)
{
	struct ctl_req *r = container_of(op, struct ctl_req, send_op);

	free(r->sending);
	r->sending = NULL;
	r->sending_len = 0;
	if (res < 0)
		req_close(r);
	else
		send_next(r);
	req_put(r);
}

static void send_next(struct ctl_req *r)
{
	struct iovec iov;

	if (r->dead || r->sending)
		return;
	if (!r->out_len) {
		if (r->ended)
			req_close(r);
		return;
	}
	r->sending = r->out;
	r->sending_len = r->out_len;
	r->out = NULL;
	r->out_len = r->out_cap = 0;
	iov = (struct iovec){ r->sending, r->sending_len };
	r->refs++;
	r->send_op.done = send_done;
	r->io->ops->send(r->io, &r->send_op, r->fd, &iov, 1);
}

static void out_line(struct ctl_req *r, json_t *obj)
{
	CLEANUP_FREE char *text = json_dumps(obj, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;

	json_decref(obj);
	if (!text || r->dead)
		return;
	if (r->out_len + len > OUT_MAX) {
		log_warn("event=ctl_client_slow verb=%s action=closed", r->verb);
		req_close(r);
		return;
	}
	if (r->out_len + len + 1 > r->out_cap) {
		r->out_cap = max(r->out_cap * 2, r->out_len + len + 1);
		r->out = xrealloc(r->out, r->out_cap);
	}
	memcpy(r->out + r->out_len, text, len);
	r->out_len += len;
	r->out[r->out_len++] = '\n';
	send_next(r);
}

void ctl_row(struct ctl_req *r, json_t *row)
{
	json_t *o = json_object();

	json_object_set_new(o, "row", row);
	out_line(r, o);
}

void ctl_progress(struct ctl_req *r, json_t *progress)
{
	json_t *o = json_object();

	json_object_set_new(o, "progress", progress);
	out_line(r, o);
}

size_t ctl_backlog(const struct ctl_req *r)
{
	return r->out_len + r->sending_len;
}

static void req_end(struct ctl_req *r, json_t *last)
{
	r->ended = true;
	r->gone = NULL;
	out_line(r, last);
	if (!r->dead)
		send_next(r);
	req_put(r);		/* the verb's */
}

static json_t *head(struct ctl_req *r, bool ok)
{
	json_t *o = json_object();
	CLEANUP_FREE char *schema = xasprintf("augur.%s/1", r->verb);

	json_object_set_new(o, "schema", ctl_json_bytes(schema, strlen(schema)));
	json_object_set_new(o, "ok", json_boolean(ok));
	return o;
}

void ctl_ok(struct ctl_req *r, json_t *body)
{
	json_t *o = head(r, true);

	if (body) {
		json_object_update_missing(o, body);
		json_decref(body);
	}
	req_end(r, o);
}

void ctl_fail(struct ctl_req *r, enum ctl_error e, int err, const char *fmt, ...)
{
	json_t *o = head(r, false);
	CLEANUP_FREE char *detail = NULL;
	CLEANUP_FREE char *text = NULL;
	va_list ap;

	if (fmt) {
		va_start(ap, fmt);
		if (vasprintf(&detail, fmt, ap) < 0)
			detail = NULL;
		va_end(ap);
	}
	text = detail ? xasprintf("%s: %s", causes[e].message, detail) : xstrdup(causes[e].message);
	json_object_set_new(o, "error", json_string(causes[e].name));
	json_object_set_new(o, "errno", json_integer(-err));
	json_object_set_new(o, "message", ctl_json_bytes(text, strlen(text)));
	json_object_set_new(o, "hint", json_string(causes[e].hint));
	req_end(r, o);
}

void ctl_on_gone(struct ctl_req *r, void (*fn)(void *arg), void *arg)
{
	r->gone = fn;
	r->gone_arg = arg;
}

/* ---- one request ---- */

static void watch_done(struct io_op *op, int res)
{
	struct ctl_req *r = container_of(op, struct ctl_req, recv_op);

	/* Nothing more is expected: an end is a hang-up, bytes are ignored. */
	if (res <= 0) {
		req_close(r);
	} else if (!r->dead) {
		r->refs++;
		r->io->ops->recv(r->io, op, r->fd, r->drain, sizeof(r->drain), 1);
	}
	req_put(r);
}

static void req_run(struct ctl_req *r)
{
	json_error_t je;
	json_t *args = json_loadb(r->in, r->in_len, JSON_REJECT_DUPLICATES, &je);
	const char *name = args ? ctl_arg_str(args, "verb") : NULL;
	const struct ctl_verb *v = r->srv->verbs;
	void *ctx = r->srv->ctx;

	r->running = true;
	r->refs += 2;		/* the verb's, the watching recv's */
	r->recv_op.done = watch_done;
	r->io->ops->recv(r->io, &r->recv_op, r->fd, r->drain, sizeof(r->drain), 1);
	snprintf(r->verb, sizeof(r->verb), "%s", name ? name : "none");
	if (!name) {
		ctl_fail(r, AUGUR_E_USAGE, -EINVAL, "the request is not a JSON object with a verb");
	} else {
		while (v->name && strcmp(v->name, name))
			v++;
		if (v->name)
			v->fn(ctx, r, args);
		else
			ctl_fail(r, AUGUR_E_USAGE, -EOPNOTSUPP, "this daemon has no verb %s",
				 log_esc(name, strlen(name)));
	}
	json_decref(args);
}

static void recv_done(struct io_op *op, int res)
{
	struct ctl_req *r = container_of(op, struct ctl_req, recv_op);
	char *nl;

	if (res <= 0 || r->dead) {
		req_close(r);
		req_put(r);
		return;
	}
	nl = memchr(r->in + r->in_len, '\n', res);
	r->in_len += res;
	if (nl) {
		r->in_len = nl - r->in;
		req_run(r);
	} else if (r->in_len >= CTL_REQ_MAX) {
		req_close(r);
	} else {
		r->refs++;
		r->io->ops->recv(r->io, op, r->fd, r->in + r->in_len, CTL_REQ_MAX - r->in_len, 1);
	}
	req_put(r);
}

static bool peer_allowed(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return false;
	return cred.uid == 0 || cred.uid == geteuid();
}

static void accept_start(struct ctl_server *s);

static void accept_pause_over(struct io_op *op, int res)
{
	struct ctl_server *s = container_of(op, struct ctl_server, accept_op);

	s->accepting = s->pausing = false;
	if (s->closing)
		free(s);
	else
		accept_start(s);
}

static void accept_done(struct io_op *op, int res)
{
	struct ctl_server *s = container_of(op, struct ctl_server, accept_op);
	struct ctl_req *r;

	s->accepting = false;
	if (s->closing) {
		if (res >= 0)
			s->io->ops->close(s->io, res);
		free(s);
		return;
	}
	if (io_exhausted(res)) {
		/* The queue stays full, so accepting again at once would spin. */
		log_err("event=ctl_accept_failed error=\"%s\" action=retry hint=\"raise the limit of open files\"", strerror(-res));
		s->accepting = s->pausing = true;
		s->accept_op.done = accept_pause_over;
		s->io->ops->timer(s->io, &s->accept_op, io_now(s->io) + ACCEPT_PAUSE_NS);
		return;
	}
	accept_start(s);
	if (res < 0)
		return;
	if (s->nconns >= CONNS_MAX || !peer_allowed(res)) {
		s->io->ops->close(s->io, res);
		return;
	}
	r = xcalloc(1, sizeof(*r));
	r->srv = s;
	r->io = s->io;
	r->fd = res;
	r->in = xmalloc(CTL_REQ_MAX + 1);
	r->refs = 2;		/* the socket's, the recv's */
	list_add_tail(&s->conns, &r->link);
	s->nconns++;
	r->recv_op.done = recv_done;
	r->io->ops->recv(r->io, &r->recv_op, r->fd, r->in, CTL_REQ_MAX, 1);
}

static void accept_start(struct ctl_server *s)
{
	s->accepting = true;
	s->accept_op.done = accept_done;
	s->io->ops->accept(s->io, &s->accept_op, s->fd);
}

/* ---- listening ---- */

/* Is somebody behind the socket file? */
static bool alive(const struct sockaddr_un *sun)
{
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && !connect(fd, (const void *)sun, sizeof(*sun));
}

/* A file of somebody else is not ours to remove. */
static bool is_socket(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISSOCK(st.st_mode);
}

static int unix_listen(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	CLEANUP_FREE char *copy = xstrdup(path);
	mode_t old;
	int fd, err = 0;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	if (!path[0])
		return -EINVAL;		/* the kernel would choose a name */
	strcpy(sun.sun_path, path);
	if (mkdir(dirname(copy), 0755) && errno != EEXIST)
		return -errno;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	old = umask(0177);
	if (bind(fd, (void *)&sun, sizeof(sun))) {
		err = -errno;
		if (err == -EADDRINUSE && !is_socket(path)) {
			err = -EEXIST;
		} else if (err == -EADDRINUSE && !alive(&sun)) {
			unlink(path);
			err = bind(fd, (void *)&sun, sizeof(sun)) ? -errno : 0;
		}
	}
	umask(old);
	if (!err && listen(fd, 16))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

struct ctl_server *ctl_server_new(struct io *io, const char *path, const struct ctl_verb *verbs,
				  void *ctx, int *err)
{
	struct ctl_server *s;
	int fd = unix_listen(path);

	if (fd < 0) {
		log_err("event=ctl_listen path=%s error=%s hint=\"%s\"", path, strerror(-fd),
			fd == -EADDRINUSE ? "another augurd answers there: use another --ctl" :
			fd == -EEXIST ? "that is no socket, and is left as it is: use another --ctl" :
					"check the directory of --ctl");
		*err = fd;
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	s->io = io;
	s->fd = fd;
	s->path = xstrdup(path);
	s->verbs = verbs;
	s->ctx = ctx;
	list_init(&s->conns);
	accept_start(s);
	*err = 0;
	return s;
}

void ctl_server_free(struct ctl_server *s)
{
	if (!s)
		return;
	while (!list_empty(&s->conns)) {
		struct ctl_req *r = list_first(&s->conns, struct ctl_req, link);

		r->refs++;
		req_close(r);
		r->srv = NULL;
		req_put(r);
	}
	unlink(s->path);
	free(s->path);
	s->closing = true;
	s->io->ops->close(s->io, s->fd);
	if (s->pausing)
		s->io->ops->cancel(s->io, &s->accept_op);
	else if (!s->accepting)
		free(s);
}

/* ---- JSON helpers ---- */

json_t *ctl_json_bytes(const void *buf, size_t len)
{
	const u8 *b = buf;
	json_t *s = NULL;
	char *text, *w;
	size_t i;

	for (i = 0; i < len && b[i] >= 0x20 && b[i] != 0x7f; i++)
		;
	if (i == len)
		s = json_stringn(buf, len);	/* NULL if it is not UTF-8 */
	if (s)
		return s;
	w = text = xmalloc(len * 4 + 1);
	for (i = 0; i < len; i++)
		if (b[i] >= 0x20 && b[i] < 0x7f && b[i] != '\\')
			*w++ = b[i];
		else
			w += sprintf(w, "\\x%02x", b[i]);
	s = json_stringn(text, w - text);
	free(text);
	return s;
}

json_t *ctl_json_hex(const void *buf, size_t len)
{
	const u8 *b = buf;
	CLEANUP_FREE char *text = xmalloc(len * 2 + 1);

	for (size_t i = 0; i < len; i++)
		sprintf(text + 2 * i, "%02x", b[i]);
	return json_stringn(text, len * 2);
}

const char *ctl_arg_str(json_t *args, const char *key)
{
	return json_string_value(json_object_get(args, key));
}

s64 ctl_arg_int(json_t *args, const char *key, s64 def)
{
	json_t *v = json_object_get(args, key);

	return json_is_integer(v) ? json_integer_value(v) : def;
}

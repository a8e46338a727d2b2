/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * server.h - the control socket's server half: a table of verbs, JSON lines (ctl_proto.h).
 *
 * Loop thread only.  A verb gets its parsed arguments and answers now or later: any number
 * of ctl_row() and ctl_progress(), then exactly one ctl_ok() or ctl_fail(), after which the
 * request must not be touched.  A client that hangs up is told to the verb by on_gone; the
 * verb still ends the request (the output is dropped).
 */
#ifndef AUGUR_CTL_SERVER_H
#define AUGUR_CTL_SERVER_H

#include <jansson.h>
#include "base/io.h"
#include "ctl/ctl_proto.h"

struct ctl_server;
struct ctl_req;

/* args: the request object, valid during the call only. */
struct ctl_verb {
	const char *name;
	void (*fn)(void *ctx, struct ctl_req *r, json_t *args);
};

/*
 * Listens on @path (made 0600, its directory is created; a socket left by a dead daemon is
 * replaced).  @verbs ends with a NULL name and must outlive the server.  NULL and *err (a
 * logged -errno; -EADDRINUSE: a live daemon answers there).
 */
struct ctl_server *ctl_server_new(struct io *io, const char *path, const struct ctl_verb *verbs,
				  void *ctx, int *err);
/* Closes the socket and all connections; requests still running get their on_gone. */
void ctl_server_free(struct ctl_server *s);

/* Each takes over its json_t (body may be NULL). */
void ctl_row(struct ctl_req *r, json_t *row);
void ctl_progress(struct ctl_req *r, json_t *progress);
void ctl_ok(struct ctl_req *r, json_t *body);
/* fmt adds what was asked for: "cache=/x"; NULL: only the sentence of the cause. err: -errno or 0. */
void ctl_fail(struct ctl_req *r, enum ctl_error e, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Called once, from the loop, if the client hangs up before the end. */
void ctl_on_gone(struct ctl_req *r, void (*fn)(void *arg), void *arg);
/* Bytes queued and not yet sent: a verb that streams waits while this is large. */
size_t ctl_backlog(const struct ctl_req *r);

/* Text of a cause. */
const char *ctl_error_name(enum ctl_error e);
const char *ctl_error_message(enum ctl_error e);
const char *ctl_error_hint(enum ctl_error e);

/* A JSON string of any bytes: what is not UTF-8 or is a control character becomes \xNN. */
json_t *ctl_json_bytes(const void *buf, size_t len);
json_t *ctl_json_hex(const void *buf, size_t len);
/* String argument or NULL; integer argument or @def. */
const char *ctl_arg_str(json_t *args, const char *key);
s64 ctl_arg_int(json_t *args, const char *key, s64 def);

#endif

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log.c - a volume's access log: the names of what is in it, and the verb "log": rows that fit
 * what was asked, and with follow the new ones as they come.  A reader that is slow gets them later, never the daemon's
 * memory.
 */
#include <stdio.h>

#include "agent/agent.h"
#include "base/log.h"

#define FOLLOW_ROWS	1000
#define FOLLOW_NS	(500ull * 1000000)
#define BACKLOG_MAX	(1u << 20)

/* ---- names of the objects in it ---- */

struct name_load { struct vol *v; u8 oid[AUGUR_OID_LEN]; };

static void name_loaded(void *arg, struct cobj *o)
{
	struct name_load *nl = arg;

	if (o && nl->v->h)
		history_name(nl->v->h, nl->oid, o->parent, o->name ? o->name : "", o->name_len);
	vol_put(nl->v);
	free(nl);
}

void log_name_wanted(void *ctx, const u8 *oid)
{
	struct vol *v = ctx;
	struct cobj *o = map_get(&v->c->objs, oid);
	struct name_load *nl;

	if (o) {
		history_name(v->h, oid, o->parent, o->name ? o->name : "", o->name_len);
		return;
	}
	nl = xcalloc(1, sizeof(*nl));
	nl->v = vol_get(v);
	memcpy(nl->oid, oid, AUGUR_OID_LEN);
	cobj_load_any(v->c, oid, name_loaded, nl);
}

/* ---- what it holds ---- */

static json_t *num(u64 v)
{
	return json_integer((json_int_t)v);
}

json_t *log_stats(struct vol *v)
{
	struct history_stats st = { 0 };
	json_t *j = json_object(), *d = json_object();

	if (v->h)
		history_stats(v->h, &st);
	json_object_set_new(j, "enabled", json_boolean(v->h));
	json_object_set_new(j, "accepted", num(st.accepted));
	json_object_set_new(j, "dropped", num(history_dropped(&st)));
	json_object_set_new(d, "ring", num(st.dropped_ring));
	json_object_set_new(d, "lost", num(st.dropped_lost));
	json_object_set_new(d, "queue", num(st.dropped_queue));
	json_object_set_new(d, "write", num(st.dropped_write));
	json_object_set_new(j, "drops", d);
	json_object_set_new(j, "rows", num(st.rows));
	json_object_set_new(j, "segments", num(st.segments));
	json_object_set_new(j, "bytes", num(st.bytes));
	json_object_set_new(j, "paths", num(st.paths));
	json_object_set_new(j, "scanners", num(st.scanners));
	return j;
}

static json_t *row_json(const struct history_row *h)
{
	json_t *j = json_object();
	char session[17];

	snprintf(session, sizeof(session), "%016llx", (unsigned long long)h->session);
	json_object_set_new(j, "id", num(h->id));
	json_object_set_new(j, "time", num(h->time_ns));
	json_object_set_new(j, "session", json_string(session));
	json_object_set_new(j, "op", json_string(history_op_name(h->op)));
	json_object_set_new(j, "flags", num(h->flags));
	json_object_set_new(j, "path", ctl_json_bytes(h->path, h->path_len));
	json_object_set_new(j, "off", num(h->off));
	json_object_set_new(j, "len", num(h->len));
	json_object_set_new(j, "latency_us", num(h->latency_us));
	json_object_set_new(j, "pid", num(h->pid));
	json_object_set_new(j, "uid", num(h->uid));
	json_object_set_new(j, "comm", ctl_json_bytes(h->comm, strlen(h->comm)));
	json_object_set_new(j, "open", num(h->open_id));
	json_object_set_new(j, "scanner", json_boolean(h->scanner));
	return j;
}

/* ---- the question ---- */

/* 0, or what is wrong with it. */
static const char *parse_ops(json_t *list, u32 *ops)
{
	json_t *v;
	size_t i;

	*ops = 0;
	json_array_foreach(list, i, v) {
		int op = json_is_string(v) ? history_op_number(json_string_value(v)) : -1;

		if (op < 0)
			return "kinds";
		*ops |= 1u << op;
	}
	return NULL;
}

static const char *parse_session(const char *text, struct history_query *q)
{
	char *end;

	if (!text)
		return NULL;
	q->session = strtoull(text, &end, 16);
	q->by_session = true;
	return *end || !*text || strlen(text) > 16 ? "session" : NULL;
}

static const char *parse_scanners(const char *text, struct history_query *q)
{
	if (!text || !strcmp(text, "too"))
		q->scanners = HISTORY_SCANNERS_TOO;
	else if (!strcmp(text, "only"))
		q->scanners = HISTORY_SCANNERS_ONLY;
	else if (!strcmp(text, "not"))
		q->scanners = HISTORY_SCANNERS_NOT;
	else
		return "scanners";
	return NULL;
}

/* @path: a copy that outlives the arguments. */
static const char *parse(json_t *args, struct history_query *q, char **path)
{
	const char *text = ctl_arg_str(args, "program"), *bad;
	s64 limit = ctl_arg_int(args, "limit", 100);

	q->after = -1;
	q->limit = limit < 1 ? 1 : limit > HISTORY_ROWS_MAX ? HISTORY_ROWS_MAX : limit;
	q->since_ns = ctl_arg_int(args, "since", 0);
	q->until_ns = ctl_arg_int(args, "until", 0);
	if (text)
		snprintf(q->comm, sizeof(q->comm), "%s", text);
	text = ctl_arg_str(args, "path");
	if (text) {
		q->path = *path = xstrdup(text);
		q->path_len = strlen(text);
	}
	bad = parse_ops(json_object_get(args, "kinds"), &q->ops);
	if (!bad)
		bad = parse_session(ctl_arg_str(args, "session"), q);
	return bad ? bad : parse_scanners(ctl_arg_str(args, "scanners"), q);
}

/* ---- the answer ---- */

struct follow {
	struct ctl_req	*r;
	struct vol	*v;
	struct history_query q;
	char		*path;
	bool		follow, gone;
	struct io_op	op;
	u64		rows;
};

static void follow_next(struct follow *f);

static void follow_due(struct io_op *op, int res)
{
	follow_next(container_of(op, struct follow, op));
}

static void follow_end(struct follow *f, int err)
{
	if (err && err != -ECANCELED)
		ctl_fail(f->r, AUGUR_E_INTERNAL, err, "the access log cannot be read");
	else
		ctl_ok(f->r, json_pack("{s:I, s:o}", "rows", (json_int_t)f->rows, "history", log_stats(f->v)));
	vol_put(f->v);
	free(f->path);
	free(f);
}

static void follow_wait(struct follow *f, u64 ns)
{
	f->op.done = follow_due;
	f->v->io->ops->timer(f->v->io, &f->op, io_now(f->v->io) + ns);
}

static void follow_rows(void *arg, const struct history_result *res)
{
	struct follow *f = arg;

	for (size_t i = 0; i < res->n && !f->gone; i++)
		ctl_row(f->r, row_json(&res->rows[i]));
	f->rows += res->n;
	if (!f->follow || f->gone || res->err) {
		follow_end(f, res->err);
		return;
	}
	f->q.after = max(res->upto, (s64)0);
	f->q.limit = FOLLOW_ROWS;
	follow_wait(f, res->more ? 0 : FOLLOW_NS);
}

static void follow_next(struct follow *f)
{
	if (f->gone || f->v->dead || !f->v->h)
		follow_end(f, -ECANCELED);
	else if (ctl_backlog(f->r) > BACKLOG_MAX)
		follow_wait(f, FOLLOW_NS);	/* the reader first */
	else
		history_read(f->v->h, &f->q, follow_rows, f);
}

static void follow_gone(void *arg)
{
	((struct follow *)arg)->gone = true;
}

void log_run(struct agent *ag, struct ctl_req *r, json_t *args)
{
	s64 id = ctl_arg_int(args, "mount", 0);
	struct vol *v = id ? verbs_vol(ag, id) : list_empty(&ag->vols) ? NULL : list_first(&ag->vols, struct vol, link);
	struct follow *f;
	const char *bad;

	if (!v) {
		ctl_fail(r, AUGUR_E_NOT_MOUNTED, -ENOENT, "mount %lld", (long long)id);
		return;
	}
	if (!v->h) {
		ctl_fail(r, AUGUR_E_NO_HISTORY, -ENOENT, "%s", ag->no_history ? "--no-history was said" : "the file could not be opened");
		return;
	}
	f = xcalloc(1, sizeof(*f));
	f->r = r;
	f->v = vol_get(v);
	f->follow = json_is_true(json_object_get(args, "follow"));
	bad = parse(args, &f->q, &f->path);
	if (bad) {
		ctl_fail(r, AUGUR_E_USAGE, -EINVAL, "%s", bad);
		vol_put(v);
		free(f->path);
		free(f);
		return;
	}
	ctl_on_gone(r, follow_gone, f);
	ctl_progress(r, json_pack("{s:o}", "history", log_stats(v)));
	follow_next(f);
}

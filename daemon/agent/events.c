// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * events.c - the verb "events": what state everything is in, a mark, and from then on what
 * changes.
 *
 * A state is a set of entries by kind and name.  Twice a second, while somebody listens, it is
 * looked at anew, and each listener is told how it differs from what that one was told last; so
 * a listener that is slow misses steps, never the outcome.  What is no state (a job was found to
 * walk a tree) is told at once, or counted as dropped.  Nothing waits for a listener.
 */
#include <stdio.h>

#include "agent/agent.h"
#include "base/log.h"

#define LOOK_NS		(500ull * 1000000)
#define BACKLOG_MAX	(256u << 10)

struct listener {
	struct list	link;		/* agent.listeners */
	struct agent	*ag;
	struct ctl_req	*r;
	json_t		*told;		/* entries by their names, as told last */
	bool		gone;
	u64		dropped;
	struct io_op	op;
};

static json_t *text(const char *s)
{
	return ctl_json_bytes(s, strlen(s));
}

/* ---- the state ---- */

/* Takes @e; its name among all entries: kind, mount's cache, and @name. */
static void add(json_t *state, const struct vol *v, const char *name, json_t *e)
{
	CLEANUP_FREE char *key = xasprintf("%s %s %s", json_string_value(json_object_get(e, "kind")), v ? v->c->dir : "", name);
	json_t *k = text(key);

	if (v) {
		json_object_set_new(e, "mount", json_integer((json_int_t)(v->m ? v->m->id : 0)));
		json_object_set_new(e, "cache", text(v->c->dir));
	}
	json_object_set_new(state, json_string_value(k), e);
	json_decref(k);
}

static void add_proxies(json_t *state, struct vol *v)
{
	json_t *list = health_proxies(v), *p;
	size_t i;

	json_array_foreach(list, i, p) {
		json_t *e = json_pack("{s:s, s:O, s:O, s:O}", "kind", "proxy", "name", json_object_get(p, "id"),
				      "addr", json_object_get(p, "addr"), "state", json_object_get(p, "state"));

		if (json_object_get(p, "error"))
			json_object_set(e, "error", json_object_get(p, "error"));
		add(state, v, json_string_value(json_object_get(p, "addr")), e);
	}
	json_decref(list);
}

static const char *lease_word(struct vol *v)
{
	u32 held = 0, n = v->map ? v->map->nshards : 0;

	for (u32 i = 0; i < n; i++)
		held += v->leases[i].state == LS_OK;
	return !held ? "none" : held < n ? "some" : "all";
}

static void add_vol(json_t *state, struct vol *v)
{
	struct history_stats st = { 0 };

	if (v->h)
		history_stats(v->h, &st);
	add(state, v, "", json_pack("{s:s, s:s, s:o}", "kind", "mount",
				    "state", !v->m ? "attached" : !v->ready ? "connecting" : "live", "source", text(v->source)));
	add(state, v, "", json_pack("{s:s, s:s}", "kind", "cache", "state", space_state(v)));
	add(state, v, "", json_pack("{s:s, s:s}", "kind", "lease", "state", lease_word(v)));
	add(state, v, "", json_pack("{s:s, s:s}", "kind", "requests", "state", v->failing ? "retrying" : "ok"));
	add(state, v, "", json_pack("{s:s, s:s, s:I}", "kind", "history", "state", v->h ? "on" : "off",
				    "dropped", (json_int_t)history_dropped(&st)));
	add_proxies(state, v);
}

static json_t *look(struct agent *ag)
{
	json_t *state = json_object();
	struct list *p, *t;

	add(state, NULL, "", json_pack("{s:s, s:s, s:i, s:b}", "kind", "daemon", "state", "up", "pid", (int)getpid(),
				       "module", upcall_module_present(ag->up)));
	list_for_each_safe(p, t, &ag->vols)
		add_vol(state, container_of(p, struct vol, link));
	return state;
}

/* ---- telling ---- */

/* True if it may be told something now.  What it missed is said first. */
static bool may_tell(struct listener *l)
{
	if (l->gone || ctl_backlog(l->r) > BACKLOG_MAX)
		return false;
	if (l->dropped)
		ctl_row(l->r, json_pack("{s:s, s:I}", "event", "dropped", "count", (json_int_t)l->dropped));
	l->dropped = 0;
	return true;
}

static void tell(struct listener *l, const char *event, const json_t *e)
{
	json_t *row = json_copy((json_t *)e);

	json_object_set_new(row, "event", json_string(event));
	ctl_row(l->r, row);
}

/* Takes @state: how it differs from what was told. */
static void tell_changes(struct listener *l, json_t *state)
{
	const char *key;
	json_t *e, *was;

	json_object_foreach(l->told, key, e)
		if (!json_object_get(state, key))
			tell(l, "gone", e);
	json_object_foreach(state, key, e) {
		was = json_object_get(l->told, key);
		if (!was || !json_equal(was, e))
			tell(l, was ? "change" : "new", e);
	}
	json_decref(l->told);
	l->told = state;
}

static void listener_end(struct listener *l)
{
	list_del(&l->link);
	ctl_ok(l->r, NULL);
	json_decref(l->told);
	free(l);
}

static void look_due(struct io_op *op, int res)
{
	struct listener *l = container_of(op, struct listener, op);

	if (l->gone) {
		listener_end(l);
		return;
	}
	if (may_tell(l))
		tell_changes(l, look(l->ag));
	l->ag->io->ops->timer(l->ag->io, op, io_now(l->ag->io) + LOOK_NS);
}

static void listener_gone(void *arg)
{
	((struct listener *)arg)->gone = true;
}

void events_scanner(void *ctx, const struct history_found *f)
{
	struct vol *v = ctx;
	struct list *p, *t;
	char session[17];

	snprintf(session, sizeof(session), "%016llx", (unsigned long long)f->session);
	list_for_each_safe(p, t, &v->ag->listeners) {
		struct listener *l = container_of(p, struct listener, link);

		if (!may_tell(l)) {
			l->dropped++;
			continue;
		}
		ctl_row(l->r, json_pack("{s:s, s:s, s:s, s:I, s:o, s:s, s:o, s:I, s:I, s:I}", "event", "scanner", "kind", "scanner",
			"state", f->cleared ? "cleared" : "found", "mount", (json_int_t)(v->m ? v->m->id : 0), "cache", text(v->c->dir),
			"session", session, "comm", text(f->comm), "pid", (json_int_t)f->pid, "files", (json_int_t)f->files,
			"dirs", (json_int_t)f->dirs));
	}
}

void events_run(struct agent *ag, struct ctl_req *r, json_t *args)
{
	struct listener *l = xcalloc(1, sizeof(*l));
	const char *key;
	json_t *e;

	l->ag = ag;
	l->r = r;
	l->told = look(ag);
	list_add_tail(&ag->listeners, &l->link);
	json_object_foreach(l->told, key, e)
		tell(l, "is", e);
	ctl_row(r, json_pack("{s:s}", "event", "now"));
	if (!json_is_true(json_object_get(args, "follow"))) {
		listener_end(l);
		return;
	}
	ctl_on_gone(r, listener_gone, l);
	l->op.done = look_due;
	ag->io->ops->timer(ag->io, &l->op, io_now(ag->io) + LOOK_NS);
}

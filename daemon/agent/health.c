// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * health.c - what is said of a volume's proxies, to "augur status" and "augur doctor".
 *
 * Told is each proxy of the map once, by the name it has there, whatever connections lead to
 * it: a seed may be the same proxy by another address.  Before there is a map, the seeds are
 * told.  Loop thread only; owns nothing.
 */
#include "agent/agent.h"

struct member {
	const char	*id, *addr;
	enum { MB_UP, MB_CONNECTING, MB_DOWN } state;
	int		err;		/* why it is down */
	u32		shards;
	struct xfer_stats st;		/* of all connections to it */
};

static const char *const member_states[] = { [MB_UP] = "up", [MB_CONNECTING] = "connecting", [MB_DOWN] = "down" };

static void member_judge(struct member *mb, const struct peer *p)
{
	struct xfer_stats st = { .err = 0 };

	if (p)
		xfer_peer_stats(p->x, &st);
	mb->err = st.err;
	mb->state = p && p->hello ? MB_UP : st.err ? MB_DOWN : MB_CONNECTING;
	mb->st.rtt_ns = st.rtt_ns;
}

static void member_count(struct member *mb, const struct peer *p)
{
	struct xfer_stats st;

	xfer_peer_stats(p->x, &st);
	mb->st.rx_bytes += st.rx_bytes;
	mb->st.tx_bytes += st.tx_bytes;
	mb->st.calls += st.calls;
}

static void member_of_map(struct vol *v, u32 n, struct member *mb)
{
	const struct meta_proxy *mp = &v->map->proxies[n];
	struct list *p, *t;

	*mb = (struct member){ .id = mp->id, .addr = mp->addr };
	member_judge(mb, peer_find(v, mp));
	/* A seed that was this proxy and is not connected any more has carried some of its bytes. */
	list_for_each_safe(p, t, &v->peers) {
		struct peer *q = container_of(p, struct peer, link);

		if (peer_is(q, mp) || !strcmp(q->id, mp->id))
			member_count(mb, q);
	}
	for (u32 i = 0; i < v->map->nshards; i++)
		mb->shards += v->map->shards[i].proxy == n;
}

/* All of them; the caller frees the array. */
static struct member *members(struct vol *v, u32 *n)
{
	struct member *list;
	struct list *p, *t;

	*n = 0;
	if (v->map) {
		list = xcalloc(v->map->nproxies, sizeof(*list));
		for (; *n < v->map->nproxies; ++*n)
			member_of_map(v, *n, &list[*n]);
		return list;
	}
	list = xcalloc(AGENT_SEEDS_MAX, sizeof(*list));
	list_for_each_safe(p, t, &v->peers) {
		struct peer *q = container_of(p, struct peer, link);
		struct member *mb = &list[*n];

		if (*n == AGENT_SEEDS_MAX)
			break;
		*mb = (struct member){ .id = q->id[0] ? q->id : q->addr, .addr = q->addr };
		member_judge(mb, q);
		member_count(mb, q);
		++*n;
	}
	return list;
}

static json_t *text(const char *s)
{
	return ctl_json_bytes(s, strlen(s));
}

json_t *health_proxies(struct vol *v)
{
	json_t *list = json_array();
	struct member *mb;
	u64 total = 0;
	u32 n;

	mb = members(v, &n);
	for (u32 i = 0; i < n; i++)
		total += mb[i].st.rx_bytes;
	for (u32 i = 0; i < n; i++) {
		const struct member *m = &mb[i];
		json_t *o = json_object();

		json_object_set_new(o, "id", text(m->id));
		json_object_set_new(o, "addr", text(m->addr));
		json_object_set_new(o, "state", json_string(member_states[m->state]));
		json_object_set_new(o, "up", json_boolean(m->state == MB_UP));
		json_object_set_new(o, "rtt_ms", json_real(m->st.rtt_ns / 1e6));
		json_object_set_new(o, "shards", json_integer(m->shards));
		json_object_set_new(o, "rx_bytes", json_integer((json_int_t)m->st.rx_bytes));
		json_object_set_new(o, "tx_bytes", json_integer((json_int_t)m->st.tx_bytes));
		json_object_set_new(o, "calls", json_integer((json_int_t)m->st.calls));
		json_object_set_new(o, "share", json_real(total ? (double)m->st.rx_bytes / total : 0));
		if (m->state == MB_DOWN)
			json_object_set_new(o, "error", text(strerror(-m->err)));
		json_array_append_new(list, o);
	}
	free(mb);
	return list;
}

/* ---- doctor ---- */

void health_add(json_t *list, const char *name, const char *state, const char *fix, char *detail)
{
	json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:s}", "name", name, "state", state, "detail",
					      text(detail), "fix", fix));
	free(detail);
}

static void check_proxies(json_t *list, struct vol *v)
{
	unsigned int count[3] = { 0 };
	struct member *mb;
	const char *state = "ok", *fix = "";
	char more[40] = "";
	u32 n;

	mb = members(v, &n);
	for (u32 i = 0; i < n; i++) {
		count[mb[i].state]++;
		if (mb[i].state == MB_DOWN)
			health_add(list, "proxy", "warn", "check that augurd --role proxy runs there",
				   strcmp(mb[i].id, mb[i].addr) ?
				   xasprintf("%s (%s): %s", mb[i].id, mb[i].addr, strerror(-mb[i].err)) :
				   xasprintf("%s: %s", mb[i].addr, strerror(-mb[i].err)));
	}
	free(mb);
	if (!v->ready || !count[MB_UP]) {
		state = count[MB_DOWN] ? "fail" : "warn";
		fix = count[MB_DOWN] ? "start one of its proxies" : "the first attempts to connect have not ended: look again";
	}
	if (count[MB_CONNECTING])
		snprintf(more, sizeof(more), ", %u connecting", count[MB_CONNECTING]);
	health_add(list, "volume", state, fix,
		   xasprintf("%s: %u of %u proxies up%s, map version %llu", v->source, count[MB_UP], n, more,
			     (unsigned long long)(v->map ? v->map->version : 0)));
}

void health_check(json_t *list, struct vol *v)
{
	struct cache_space cs;
	bool tight;

	check_proxies(list, v);
	cache_space(v->c, &cs);
	tight = v->space.state >= SPACE_FULL || (!v->m && cs.free < (256u << 20));
	health_add(list, "cache", tight ? "warn" : "ok", tight ? "make room on its filesystem, unpin, or close files" : "",
		   xasprintf("%s: %s, %llu MiB free", v->c->dir, space_state(v), (unsigned long long)(cs.free >> 20)));
	if (v->c->weakness)
		health_add(list, "disk", "warn", "mount it without nobarrier on a disk that keeps what it is told, or empty the cache after a power cut",
			   xasprintf("%s: %s", v->c->dir, v->c->weakness));
	if (v->failing)
		health_add(list, "requests", "warn", "see the daemon's log", xasprintf("%u are being retried", v->failing));
}

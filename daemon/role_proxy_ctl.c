// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a proxy tells about itself: the verbs status and doctor of its control socket, and
 * the answer to STATUS over the wire.  Loop thread.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "role_proxy.h"

#ifndef AUGUR_BUILD_VERSION
#define AUGUR_BUILD_VERSION "unknown"
#endif

static json_t *num(u64 v)
{
	return json_integer((json_int_t)v);
}

static json_t *status_counters(const struct origin_counters *n)
{
	json_t *j = json_object();

#define C(name) json_object_set_new(j, #name, num(n->name))
	C(requests); C(list); C(lookup); C(read); C(batch_items); C(reval); C(lease); C(redirects); C(refused);
	C(served_bytes); C(entries); C(stale); C(changes); C(resets); C(pushes); C(rescans); C(opens); C(open_hits);
#undef C
	return j;
}

static json_t *status_peers(const struct meta_map *map)
{
	static const char *const state[] = { "unknown", "up", "down", "draining" };
	json_t *list = json_array();

	for (u32 i = 0; map && i < map->nproxies; i++) {
		const struct meta_proxy *mp = &map->proxies[i];
		json_t *j = json_object();
		u32 shards = 0;

		for (u32 s = 0; s < map->nshards; s++)
			shards += map->shards[s].proxy == i;
		json_object_set_new(j, "id", ctl_json_bytes(mp->id, strlen(mp->id)));
		json_object_set_new(j, "addr", ctl_json_bytes(mp->addr, strlen(mp->addr)));
		json_object_set_new(j, "state", json_string(state[mp->state < 4 ? mp->state : 0]));
		json_object_set_new(j, "shards", num(shards));
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *status_volume(struct proxy_vol *vol)
{
	const struct meta_map *map = origin_map(vol->origin);
	const struct origin_counters *n = origin_counters(vol->origin);
	json_t *j = json_object();

	json_object_set_new(j, "volume", ctl_json_bytes(vol->name, strlen(vol->name)));
	json_object_set_new(j, "volume_id", ctl_json_hex(vol->id, sizeof(vol->id)));
	json_object_set_new(j, "origin", ctl_json_bytes(vol->dir, strlen(vol->dir)));
	json_object_set_new(j, "joined", json_boolean(vol->joined));
	json_object_set_new(j, "watch", json_string(origin_watch_kind(vol->origin)));
	json_object_set_new(j, "map_version", num(map ? map->version : 0));
	json_object_set_new(j, "shards", num(origin_shards_owned(vol->origin)));
	json_object_set_new(j, "shards_total", num(map ? map->nshards : 0));
	json_object_set_new(j, "peers", status_peers(map));
	json_object_set_new(j, "served_bytes", num(n->served_bytes));
	json_object_set_new(j, "requests", num(n->requests));
	json_object_set_new(j, "origin_changes_seen", num(n->changes));
	json_object_set_new(j, "counters", status_counters(n));
	return j;
}

json_t *proxy_status(struct proxy *p)
{
	json_t *j = json_object(), *vols = json_array(), *first = NULL;
	struct xfer_stats st;

	for (unsigned int i = 0; i < p->nvol; i++)
		json_array_append_new(vols, status_volume(&p->vol[i]));
	json_object_set_new(j, "role", json_string("proxy"));
	json_object_set_new(j, "id", ctl_json_bytes(p->cfg->id, strlen(p->cfg->id)));
	json_object_set_new(j, "pid", num(getpid()));
	json_object_set_new(j, "version", json_string(AUGUR_BUILD_VERSION));
	json_object_set_new(j, "uptime_s", num((io_now(p->io) - p->started_ns) / 1000000000));
	json_object_set_new(j, "io", json_string(p->io->ops->name));
	json_object_set_new(j, "io_why", json_string(p->io->why));
	json_object_set_new(j, "listen", ctl_json_bytes(p->cfg->listen, strlen(p->cfg->listen)));
	json_object_set_new(j, "store", json_string(p->db ? "here" : "remote"));
	json_object_set_new(j, "connections", num(p->conns));
	json_object_set_new(j, "lease_ms", num(p->lease_ms));
	xfer_server_stats(p->server, &st);
	json_object_set_new(j, "tx_bytes", num(st.tx_bytes));
	json_object_set_new(j, "rx_bytes", num(st.rx_bytes));
	/* With one volume its figures are the proxy's. */
	if (json_array_size(vols) == 1)
		first = json_deep_copy(json_array_get(vols, 0));
	json_object_set_new(j, "volumes", vols);
	if (first)
		json_object_update_missing(j, first);
	json_decref(first);
	return j;
}

static void verb_status(void *ctx, struct ctl_req *r, json_t *args)
{
	ctl_ok(r, proxy_status(ctx));
}

/* ---- doctor ---- */

static void check(json_t *list, const char *name, const char *state, const char *fix, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

static void check(json_t *list, const char *name, const char *state, const char *fix, const char *fmt, ...)
{
	json_t *j = json_object();
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_object_set_new(j, "name", json_string(name));
	json_object_set_new(j, "state", json_string(state));
	json_object_set_new(j, "detail", ctl_json_bytes(text, strlen(text)));
	json_object_set_new(j, "fix", json_string(fix ? fix : ""));
	json_array_append_new(list, j);
}

static void doctor_volume(json_t *list, struct proxy_vol *vol)
{
	const struct meta_map *map = origin_map(vol->origin);
	bool events = !strcmp(origin_watch_kind(vol->origin), "fanotify");

	check(list, "joined", vol->joined ? "ok" : "fail", vol->joined ? NULL : "check that the store's proxy runs",
	      "volume %s, origin %s", vol->name, vol->dir);
	check(list, "map", map ? "ok" : "warn", map ? NULL : "start the other proxies of --proxies",
	      "version %llu, %u shards here", map ? (unsigned long long)map->version : 0ULL,
	      origin_shards_owned(vol->origin));
	check(list, "origin changes", events ? "ok" : "warn",
	      events ? NULL : "run augurd with CAP_SYS_ADMIN on a local ext4, xfs or btrfs to see them at once",
	      events ? "seen as they happen (fanotify)" : "looked for again and again");
	for (u32 i = 0; map && i < map->nproxies; i++)
		if (map->proxies[i].state == META_P_DOWN)
			check(list, "proxy", "fail", "start augurd there", "%s (%s) has never joined; its shards are not served",
			      map->proxies[i].id, map->proxies[i].addr);
}

static void verb_doctor(void *ctx, struct ctl_req *r, json_t *args)
{
	struct proxy *p = ctx;
	json_t *list = json_array();

	check(list, "encryption", "warn", "keep proxies and agents on a network that you trust",
	      "plain TCP on %s (--insecure)", p->cfg->listen);
	check(list, "ring", "ok", NULL, "%s works (%s)", p->io->ops->name, p->io->why);
	for (unsigned int i = 0; i < p->nvol; i++)
		doctor_volume(list, &p->vol[i]);
	ctl_ok(r, json_pack("{s:o}", "checks", list));
}

const struct ctl_verb proxy_verbs[] = {
	{ "status", verb_status },
	{ "doctor", verb_doctor },
	{ NULL, NULL },
};

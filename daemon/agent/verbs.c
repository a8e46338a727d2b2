// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * verbs.c - what the control socket of an agent can be asked (ctl_proto.h).  Loop thread; no
 * verb touches a path below a mount: it would wait for this very thread.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <linux/openat2.h>

#include "agent/agent.h"
#include "base/log.h"

#ifndef AUGUR_BUILD_VERSION
#define AUGUR_BUILD_VERSION "unknown"
#endif

#define ATTACH_MS	10000

static json_t *num(u64 v)
{
	return json_integer((json_int_t)v);
}

static json_t *text(const char *s)
{
	return ctl_json_bytes(s, strlen(s));
}

/* ---- status ---- */

static json_t *leases_json(struct vol *v)
{
	u32 held = 0, sweeping = 0;

	for (u32 i = 0; v->map && i < v->map->nshards; i++) {
		held += v->leases[i].state == LS_OK;
		sweeping += v->leases[i].state == LS_SWEEP;
	}
	return json_pack("{s:i, s:i, s:i}", "held", held, "sweeping", sweeping, "shards", v->map ? v->map->nshards : 0);
}

static json_t *cache_json(struct vol *v)
{
	struct cache_space cs;
	json_t *c = json_object();

	cache_space(v->c, &cs);
	json_object_set_new(c, "dir", text(v->c->dir));
	json_object_set_new(c, "state", json_string(space_state(v)));
	json_object_set_new(c, "objects", num(v->c->n_objects));
	json_object_set_new(c, "present_bytes", num(v->c->fill_bytes));
	json_object_set_new(c, "total_bytes", num(cs.total));
	json_object_set_new(c, "used_bytes", num(cs.used));
	json_object_set_new(c, "free_bytes", num(cs.free));
	json_object_set_new(c, "evicted_bytes", num(v->c->evicted_bytes));
	json_object_set_new(c, "evicted_objects", num(v->space.sum.evicted));
	json_object_set_new(c, "inodes", num(cs.inodes));
	json_object_set_new(c, "inodes_free", num(cs.inodes_free));
	json_object_set_new(c, "names_forgotten", num(v->c->names_forgotten));
	json_object_set_new(c, "pins", num(v->npins));
	json_object_set_new(c, "pinned_bytes", num(v->pinned_bytes));
	json_object_set_new(c, "streamed_bytes", num(v->space.stream_bytes));
	json_object_set_new(c, "watermarks", json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "run", v->space.run,
						       "cull", v->space.cull, "stop", v->space.stop,
						       "inode_run", v->space.inode_run, "inode_cull", v->space.inode_cull,
						       "inode_stop", v->space.inode_stop));
	json_object_set_new(c, "stubs", num(v->c->n_stubs));
	json_object_set_new(c, "unsettled_bytes", num(v->c->unsettled_bytes));
	return c;
}

static json_t *vol_json(struct vol *v)
{
	json_t *o = json_object(), *n = json_object();

	json_object_set_new(o, "id", num(v->m ? v->m->id : 0));
	json_object_set_new(o, "source", text(v->source));
	json_object_set_new(o, "cache_dir", text(v->c->dir));
	json_object_set_new(o, "state", json_string(!v->m ? "attached" : !v->ready ? "connecting" : "live"));
	json_object_set_new(o, "proxies", health_proxies(v));
	json_object_set_new(o, "cache", cache_json(v));
	json_object_set_new(o, "history", log_stats(v));
	json_object_set_new(o, "pending", num(v->reqs.live));
	json_object_set_new(o, "map_version", num(v->map ? v->map->version : 0));
	json_object_set_new(o, "leases", leases_json(v));
	json_object_set_new(n, "requests", num(v->n_requests));
	json_object_set_new(n, "lookup", num(v->n_lookup));
	json_object_set_new(n, "populate", num(v->n_populate));
	json_object_set_new(n, "fetch", num(v->n_fetch));
	json_object_set_new(n, "reval", num(v->n_reval));
	json_object_set_new(n, "batches", num(v->n_batch));
	json_object_set_new(n, "ahead", num(v->n_ahead));
	json_object_set_new(n, "ahead_hits", num(v->ahead_hits));
	json_object_set_new(n, "ahead_bytes", num(v->ahead_brought));
	json_object_set_new(n, "ahead_used", num(v->ahead_used));
	json_object_set_new(n, "ahead_unused", num(v->ahead_brought - v->ahead_used));
	json_object_set_new(n, "behind_bytes", num(v->behind_brought));
	json_object_set_new(n, "retrying", num(v->failing));
	json_object_set_new(o, "counters", n);
	return o;
}

static void verb_status(void *ctx, struct ctl_req *r, json_t *args)
{
	struct agent *ag = ctx;
	json_t *o = json_object(), *mounts = json_array();
	struct list *p, *t;

	list_for_each_safe(p, t, &ag->vols)
		json_array_append_new(mounts, vol_json(container_of(p, struct vol, link)));
	json_object_set_new(o, "role", json_string("agent"));
	json_object_set_new(o, "pid", num(getpid()));
	json_object_set_new(o, "version", json_string(AUGUR_BUILD_VERSION));
	json_object_set_new(o, "uptime_s", num((io_now(ag->io) - ag->started_ns) / 1000000000));
	json_object_set_new(o, "io", json_string(ag->io->ops->name));
	json_object_set_new(o, "io_why", json_string(ag->io->why));
	json_object_set_new(o, "module", json_boolean(upcall_module_present(ag->up)));
	json_object_set_new(o, "mounts", mounts);
	ctl_ok(r, o);
}

/* ---- attach ---- */

struct attach { struct ctl_req *r; struct vol *v; bool gone; };

static void attach_gone(void *arg)
{
	((struct attach *)arg)->gone = true;
}

static void attach_done(void *arg, int err)
{
	struct attach *at = arg;
	struct vol *v = at->v;

	if (!err)
		ctl_ok(at->r, json_pack("{s:o, s:o, s:o}", "cache", text(v->c->dir), "source", text(v->source), "volume_id",
					ctl_json_hex(v->c->volume_id, 16)));
	else if (v->hello_err)
		ctl_fail(at->r, v->hello_cause, v->hello_err, "%s", v->source);
	else
		ctl_fail(at->r, AUGUR_E_PROXY_UNREACHABLE, err, "%s", v->source);
	/* A cache that never belonged to this volume is let go, so that another source may have it. */
	if (err && !v->m && !v->c->stamped && v->link.next != &v->link)
		vol_close(v, NULL, NULL);
	vol_put(v);
	free(at);
}

/* The same directory again: is it still the same one? */
static bool vol_is_current(struct vol *v)
{
	struct stat st;

	return !fstat(v->c->root_fd, &st) && st.st_nlink > 0 && !access(v->c->dir, F_OK);
}

static void verb_attach(void *ctx, struct ctl_req *r, json_t *args)
{
	const char *source = ctl_arg_str(args, "source"), *dir = ctl_arg_str(args, "cache");
	s64 ms = ctl_arg_int(args, "timeout_ms", ATTACH_MS);
	struct agent *ag = ctx;
	enum ctl_error cause;
	struct attach *at;
	struct vol *v;
	int err;

	if (!source || !dir || dir[0] != '/') {
		ctl_fail(r, AUGUR_E_USAGE, -EINVAL, "attach needs source and an absolute cache");
		return;
	}
	if (upcall_module_error(ag->up) == -EPROTO) {
		ctl_fail(r, AUGUR_E_ABI, -EPROTO, NULL);
		return;
	}
	v = vol_find_cache(ag, dir);
	if (v && !v->m && (!vol_is_current(v) || (strcmp(v->source, source) && !v->ready))) {
		vol_close(v, NULL, NULL);
		v = NULL;
	}
	if (v && strcmp(v->source, source)) {
		struct vol other = { 0 };

		/* Other proxies of the same volume are fine; another volume is not. */
		err = vol_source_parse(source, &other);
		for (unsigned int i = 0; i < other.nseeds; i++)
			free(other.seeds[i]);
		if (err) {
			ctl_fail(r, AUGUR_E_SOURCE, err, "%s", source);
			return;
		}
		if (strcmp(other.volume, v->volume)) {
			ctl_fail(r, AUGUR_E_CACHE_FOREIGN, -EXDEV, "%s belongs to %s", dir, v->source);
			return;
		}
	}
	if (!v) {
		err = vol_new(ag, source, dir, &v, &cause);
		if (err) {
			ctl_fail(r, cause, err, "%s", cause == AUGUR_E_SOURCE ? source : dir);
			return;
		}
	}
	at = xcalloc(1, sizeof(*at));
	at->r = r;
	at->v = vol_get(v);
	ctl_on_gone(r, attach_gone, at);
	ms = ms < 100 ? 100 : ms > 600000 ? 600000 : ms;
	map_want(v);
	vol_when_connected(v, io_now(ag->io) + ms * 1000000ull, attach_done, at);
}

/* ---- where ---- */

static int open_beneath(int root, const char *rel)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd = syscall(SYS_openat2, root, *rel ? rel : ".", &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/* Undoes the octal escapes of mountinfo. */
static void unescape(char *s)
{
	char *w = s;

	for (; *s; s++)
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*w++ = (s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0');
			s += 3;
		} else {
			*w++ = *s;
		}
	*w = 0;
}

struct mount_line { char root[PATH_MAX], point[PATH_MAX], cache[PATH_MAX]; };

/* A line of mountinfo; false: it is none of an augurfs mount. */
static bool mount_parse(const char *line, struct mount_line *m)
{
	const char *sep = strstr(line, " - augurfs "), *opt;
	size_t len;

	if (!sep || sscanf(line, "%*s %*s %*s %4095s %4095s", m->root, m->point) != 2)
		return false;
	opt = strstr(sep, "cache=");
	len = opt ? strcspn(opt + 6, ", \n") : PATH_MAX;
	if (len >= PATH_MAX)
		return false;
	memcpy(m->cache, opt + 6, len);
	m->cache[len] = 0;
	unescape(m->root);
	unescape(m->point);
	unescape(m->cache);
	return true;
}

static FILE *mountinfo(const struct agent *ag)
{
	return fopen(ag->mountinfo ? ag->mountinfo : "/proc/self/mountinfo", "re");
}

static bool is_below(const char *path, const char *point)
{
	size_t len = strlen(point);

	return !strncmp(path, point, len) && (!path[len] || path[len] == '/');
}

/* The cache directory and the rest of the path below the mount point that covers @path. */
static int mount_of(const struct agent *ag, const char *path, char *cache, char *rel)
{
	CLEANUP_FREE struct mount_line *m = xmalloc(sizeof(*m));
	FILE *f = mountinfo(ag);
	char *line = NULL;
	size_t cap = 0, best = 0;
	int err = -ENOENT;

	if (!f)
		return -errno;
	while (getline(&line, &cap, f) > 0) {
		size_t len;

		if (!mount_parse(line, m))
			continue;
		len = strlen(m->point);
		if (!is_below(path, m->point) || len < best)
			continue;
		strcpy(cache, m->cache);
		snprintf(rel, PATH_MAX, "%s%s%s", strcmp(m->root, "/") ? m->root + 1 : "", strcmp(m->root, "/") && path[len] ? "/" : "",
			 path[len] ? path + len + 1 : "");
		best = len;
		err = 0;
	}
	free(line);
	fclose(f);
	return err;
}

char *verbs_point(const struct vol *v, const char *path)
{
	CLEANUP_FREE struct mount_line *m = xmalloc(sizeof(*m));
	FILE *f = mountinfo(v->ag);
	char *line = NULL, *point = NULL;
	bool found = false;
	size_t cap = 0;

	while (f && !found && getline(&line, &cap, f) > 0) {
		/* Of a part of the volume it is no point to name everything by. */
		if (!mount_parse(line, m) || strcmp(m->cache, v->c->dir) || strcmp(m->root, "/"))
			continue;
		found = is_below(path, m->point);
		if (point && !found)
			continue;
		free(point);
		point = xstrdup(m->point);
	}
	free(line);
	if (f)
		fclose(f);
	return point;
}

int verbs_path(struct agent *ag, const char *path, struct vol **v, int *fd)
{
	char *cache = xmalloc(PATH_MAX), *rel = xmalloc(PATH_MAX);
	int err = path && path[0] == '/' ? mount_of(ag, path, cache, rel) : -EINVAL;

	if (!err) {
		*v = vol_find_cache(ag, cache);
		err = *v ? 0 : -ENOENT;
	}
	if (err) {
		err = -ENXIO;	/* not in a mount of ours */
	} else {
		*fd = open_beneath((*v)->c->root_fd, rel);
		err = *fd < 0 ? *fd : 0;
	}
	free(cache);
	free(rel);
	return err;
}

struct where { struct ctl_req *r; struct vol *v; struct augur_rec rec; u32 mode; };

static const char *state_of(const struct where *w, const struct cobj *o)
{
	bool complete = w->rec.flags & AUGUR_REC_COMPLETE;

	if (o)
		complete |= !!(o->flags & COBJ_COMPLETE);
	if (complete && !(w->rec.flags & AUGUR_REC_STALE))
		return "present";
	return o && cobj_present_bytes(o) && cobj_is_file(o) ? "partial" : "absent";
}

static void where_loaded(void *arg, struct cobj *o)
{
	struct where *w = arg;
	struct vol *v = w->v;
	json_t *j = json_object();
	int shard = v->map ? place_shard(v->map, w->rec.pu) : -1;
	int owner = v->map ? place_owner(v->map, w->rec.pu) : -1;

	json_object_set_new(j, "oid", ctl_json_hex(w->rec.oid, AUGUR_OID_LEN));
	json_object_set_new(j, "version", num(w->rec.version));
	json_object_set_new(j, "pu", num(w->rec.pu));
	json_object_set_new(j, "shard", json_integer(shard));
	json_object_set_new(j, "proxy", text(owner >= 0 ? v->map->proxies[owner].id : "?"));
	json_object_set_new(j, "addr", text(owner >= 0 ? v->map->proxies[owner].addr : "?"));
	json_object_set_new(j, "state", json_string(state_of(w, o)));
	json_object_set_new(j, "ino", num(augur_oid_ino(w->rec.oid)));
	if (o && cobj_is_file(o))
		json_object_set_new(j, "present_bytes", num(cobj_present_bytes(o)));
	ctl_ok(w->r, j);
	vol_put(v);
	free(w);
}

static void verb_where(void *ctx, struct ctl_req *r, json_t *args)
{
	const char *path = ctl_arg_str(args, "path");
	u8 buf[AUGUR_RECORD_LEN + 1];
	struct where *w;
	char proc[64];
	struct vol *v;
	ssize_t n;
	int fd, err;

	if (!path) {
		ctl_fail(r, AUGUR_E_USAGE, -EINVAL, "where needs a path");
		return;
	}
	err = verbs_path(ctx, path, &v, &fd);
	if (err == -ENXIO) {
		ctl_fail(r, AUGUR_E_NOT_MOUNTED, -ENOENT, "%s", log_esc(path, strlen(path)));
		return;
	}
	if (err) {
		ctl_fail(r, AUGUR_E_NOT_MOUNTED, err, "%s has not been looked up here yet, or does not exist", log_esc(path, strlen(path)));
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->r = r;
	w->v = vol_get(v);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	n = getxattr(proc, AUGUR_XATTR_NAME, buf, sizeof(buf));
	close(fd);
	if (n < 0 || augur_rec_decode(buf, n, &w->rec)) {
		vol_put(v);
		free(w);
		ctl_fail(r, AUGUR_E_NOT_MOUNTED, -ENOENT, "%s is being made", log_esc(path, strlen(path)));
		return;
	}
	cobj_load(v->c, w->rec.oid, where_loaded, w);
}

struct vol *verbs_vol(struct agent *ag, u64 id)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &ag->vols) {
		struct vol *v = container_of(p, struct vol, link);

		if (v->m ? v->m->id == id : !id)
			return v;
	}
	return NULL;
}

/* ---- abort, doctor, debug ---- */

static void verb_abort(void *ctx, struct ctl_req *r, json_t *args)
{
	s64 id = ctl_arg_int(args, "mount", 0);
	CLEANUP_FREE char *path = xasprintf("/sys/fs/augurfs/%lld/abort", (long long)id);
	CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1) {
		ctl_fail(r, AUGUR_E_NOT_MOUNTED, -errno, "mount %lld", (long long)id);
		return;
	}
	log_notice("event=abort mount=%lld by=ctl", (long long)id);
	ctl_ok(r, NULL);
}

static void verb_doctor(void *ctx, struct ctl_req *r, json_t *args)
{
	struct agent *ag = ctx;
	json_t *list = json_array();
	struct list *p, *t;
	int err = upcall_module_error(ag->up);

	health_add(list, "module", err ? "fail" : "ok",
		   err == -EPROTO ? "install the same version of augurfs-dkms and augurd, then reload the module" :
		   err ? "modprobe augurfs" : "",
		   xasprintf("%s", err == -EPROTO ? "speaks another interface version" : err ? "not loaded" : "loaded, same interface"));
	health_add(list, "ring", "ok", "", xasprintf("%s works (%s)", ag->io->ops->name, ag->io->why));
	list_for_each_safe(p, t, &ag->vols)
		health_check(list, container_of(p, struct vol, link));
	ctl_ok(r, json_pack("{s:o}", "checks", list));
}

static void verb_debug(void *ctx, struct ctl_req *r, json_t *args)
{
	struct agent *ag = ctx;
	json_t *list = json_array();
	struct list *p, *t;

	list_for_each_safe(p, t, &ag->vols) {
		struct vol *v = container_of(p, struct vol, link);
		json_t *reqs = json_array();
		struct req *q;
		size_t it = 0;

		while ((q = map_next(&v->reqs, &it)))
			json_array_append_new(reqs, json_pack("{s:I, s:i, s:o, s:I, s:I, s:o}", "id", (json_int_t)q->id,
				"op", (int)q->op, "oid", ctl_json_hex(q->oid, AUGUR_OID_LEN), "off", (json_int_t)q->off,
				"len", (json_int_t)q->len, "name", ctl_json_bytes(q->name, q->name_len)));
		json_array_append_new(list, json_pack("{s:o, s:o, s:i, s:i, s:i, s:I}", "source", text(v->source), "requests", reqs,
			"dirs", (int)v->dirs.live, "files", (int)v->files.live, "hints", (int)v->hints.live,
			"ahead_bytes", (json_int_t)v->ahead_bytes));
	}
	ctl_ok(r, json_pack("{s:o}", "volumes", list));
}

static void verb_warm(void *ctx, struct ctl_req *r, json_t *args)
{
	warm_run(ctx, r, args);
}

static void verb_log(void *ctx, struct ctl_req *r, json_t *args)
{
	log_run(ctx, r, args);
}

static void verb_events(void *ctx, struct ctl_req *r, json_t *args)
{
	events_run(ctx, r, args);
}

const struct ctl_verb agent_verbs[] = {
	{ "status", verb_status }, { "attach", verb_attach }, { "where", verb_where }, { "warm", verb_warm },
	{ "pin", pin_verb }, { "unpin", unpin_verb }, { "pins", pins_verb }, { "evict", evict_verb },
	{ "log", verb_log }, { "events", verb_events }, { "abort", verb_abort }, { "doctor", verb_doctor },
	{ "debug", verb_debug }, { NULL, NULL },
};

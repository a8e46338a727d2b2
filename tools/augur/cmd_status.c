// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_status.c - health in one screen, in the manner of zpool status.
 *
 * Two sources: sysfs says what the kernel knows of each mount, augurd says the rest.  Either
 * may be missing; the screen then says which half it shows.
 */
#include <getopt.h>
#include <string.h>
#include "augur.h"

struct health {
	const char	*state;		/* ONLINE, DEGRADED, FAILED */
	char		status[256];	/* what is wrong or not done yet; "" if nothing */
	const char	*action;
	const char	*see;
};

static void degrade(struct health *h, const char *state, const char *action, const char *see)
{
	h->state = state;
	h->action = action;
	h->see = see;
}

/* up, down, or connecting: then no attempt to reach it has ended yet, and nothing is wrong. */
static const char *proxy_state(json_t *p)
{
	return json_str(p, "state", json_bool(p, "up", true) ? "up" : "down");
}

static void judge_proxies(struct health *h, json_t *dm)
{
	json_t *list = json_object_get(dm, "proxies"), *p;
	size_t i, up = 0, n_down = 0, n = json_array_size(list);
	const char *down = "", *waited = "";
	char more[48] = "";

	json_array_foreach(list, i, p) {
		const char *s = proxy_state(p), *id = json_str(p, "id", "?");

		if (!strcmp(s, "up")) {
			up++;
		} else if (!strcmp(s, "connecting")) {
			waited = id;
		} else {
			n_down++;
			down = id;
		}
	}
	if (up == n)
		return;
	if (!n_down) {
		snprintf(h->status, sizeof(h->status), "connecting to proxy %.64s; %zu of %zu are up.",
			 printable(waited), up, n);
		return;
	}
	if (up + n_down < n)
		snprintf(more, sizeof(more), " (%zu still connecting)", n - up - n_down);
	snprintf(h->status, sizeof(h->status), n_down < n ? "proxy %.64s does not answer; %zu of %zu do%s." :
		 "no proxy answers (%.64s and all others); absent bytes cannot be fetched. (%zu of %zu)%s",
		 printable(down), up, n, more);
	degrade(h, "DEGRADED", "check that augurd --role proxy runs there: 'augur doctor'.", "augur-doctor(8)");
}

/* Below evict/inode_stop, where the filesystem was made with a number of inodes. */
static bool few_inodes(json_t *c)
{
	long long all = json_int(c, "inodes", 0), stop = json_int(json_object_get(c, "watermarks"), "inode_stop", 0);

	return all && json_int(c, "inodes_free", 0) * 100 / all < (stop > 1 ? stop : 1);
}

static void judge_room(struct health *h, json_t *dm)
{
	json_t *c = json_object_get(dm, "cache");
	const char *state = json_str(c, "state", "ok");

	if (strcmp(state, "full") && strcmp(state, "streaming"))
		return;
	if (!strcmp(state, "full") && few_inodes(c)) {
		snprintf(h->status, sizeof(h->status), "the cache's filesystem has no inodes for new names, and those that have one "
			 "may not be forgotten.");
		degrade(h, "DEGRADED", "'augur unpin', close files, or make it with more inodes.", "augur-evict(8)");
		return;
	}
	snprintf(h->status, sizeof(h->status), "the cache's filesystem is full of what may not be evicted; "
		 "absent bytes are read through a few chunks and not kept.");
	degrade(h, "DEGRADED", "make room on it, 'augur unpin', or close files.", "augur-evict(8)");
}

/* What the kernel says is known in any case; @fault: why augurd says nothing, or NULL: it does. */
static void judge(struct health *h, const struct mount *m, json_t *dm, const struct fault *fault)
{
	bool daemon_up = !fault;

	memset(h, 0, sizeof(*h));
	h->state = "ONLINE";
	if (!strcmp(m->state, "aborted")) {
		snprintf(h->status, sizeof(h->status), "the mount was aborted; calls that need augurd fail.");
		degrade(h, "FAILED", "unmount it and mount it again.", "augur-abort(8)");
	} else if (!strcmp(m->state, "orphan")) {
		snprintf(h->status, sizeof(h->status), "no augurd serves the mount; present bytes are served "
			 "while the lease holds, absent ones wait up to timeout_ms.");
		degrade(h, "DEGRADED", "start it: 'systemctl start augurd'; to let waiting calls fail: "
			"'augur abort'.", "augurd(8)");
	} else if (m->id && fault && fault_is_permission(fault)) {
		snprintf(h->status, sizeof(h->status), "this is what the kernel knows: a daemon serves the mount, and only root may ask it more.");
	} else if (m->id && !daemon_up) {
		snprintf(h->status, sizeof(h->status), "the control socket of augurd does not answer; "
			 "this is what the kernel knows.");
		degrade(h, "DEGRADED", "see 'augur doctor'; for another socket give --ctl.", "augur-doctor(8)");
	} else if (daemon_up && m->id && !dm) {
		snprintf(h->status, sizeof(h->status), "augurd at the control socket does not know this mount.");
		degrade(h, "DEGRADED", "see 'augur doctor'; for another socket give --ctl.", "augur-doctor(8)");
	} else {
		judge_proxies(h, dm);
		if (!h->status[0])
			judge_room(h, dm);
	}
}

static json_t *daemon_mount(json_t *ans, unsigned long long id)
{
	json_t *list = json_object_get(ans, "mounts"), *dm;
	size_t i;

	json_array_foreach(list, i, dm)
		if ((unsigned long long)json_int(dm, "id", 0) == id)
			return dm;
	return NULL;
}

static const char *str_of(const char *fmt, long long v)
{
	static char bufs[16][32];
	static unsigned int turn;
	char *buf = bufs[turn++ % ARRAY_SIZE(bufs)];

	snprintf(buf, sizeof(bufs[0]), fmt, v);
	return buf;
}

static void print_proxies(json_t *dm)
{
	static const char *const cols[] = { "PROXY", "STATE", ">SHARDS", ">SHARE", ">RTT", ">IN", ">OUT", "ADDRESS", NULL };
	json_t *list = json_object_get(dm, "proxies"), *p;
	struct table *t;
	size_t i;

	if (!json_array_size(list))
		return;
	t = table_new(cols);
	json_array_foreach(list, i, p) {
		json_t *share = json_object_get(p, "share"), *rtt = json_object_get(p, "rtt_ms");
		char s[16], r[24];

		snprintf(s, sizeof(s), "%.0f%%", json_number_value(share) * 100);
		snprintf(r, sizeof(r), "%.1f ms", json_number_value(rtt));
		if (json_number_value(rtt) <= 0)
			rtt = NULL;	/* never measured */
		table_row(t, (const char *const[]){
			printable(json_str(p, "id", "?")), printable(proxy_state(p)),
			str_of("%lld", json_int(p, "shards", 0)), json_is_number(share) ? s : "-",
			json_is_number(rtt) ? r : "-",
			human_bytes((unsigned long long)json_int(p, "rx_bytes", 0)),
			human_bytes((unsigned long long)json_int(p, "tx_bytes", 0)),
			printable(json_str(p, "addr", "-")) });
	}
	putchar('\n');
	table_print(t, stdout);
}

static void print_history(json_t *h)
{
	json_t *d = json_object_get(h, "drops");

	if (!json_bool(h, "enabled", true)) {
		puts(" history   none is kept");
		return;
	}
	printf(" history   %lld rows, %lld accepted, %lld dropped", json_int(h, "rows", 0),
	       json_int(h, "accepted", 0), json_int(h, "dropped", 0));
	if (json_int(h, "dropped", 0) && d)
		printf(" (module's ring %lld, on the way %lld, queue %lld, file %lld)", json_int(d, "ring", 0),
		       json_int(d, "lost", 0), json_int(d, "queue", 0), json_int(d, "write", 0));
	putchar('\n');
}

static const char *bytes_of(json_t *obj, const char *key)
{
	return human_bytes((unsigned long long)json_int(obj, key, 0));
}

static void print_cache(json_t *c)
{
	json_t *w = json_object_get(c, "watermarks");

	printf("\n cache     %s present in %lld objects, %s free", bytes_of(c, "present_bytes"), json_int(c, "objects", 0),
	       bytes_of(c, "free_bytes"));
	if (json_object_get(c, "total_bytes"))
		printf(" of %s", bytes_of(c, "total_bytes"));
	putchar('\n');
	if (!json_object_get(c, "state"))
		return;
	printf(" room      %s; evicts below %lld %%, up to %lld %%; fetches nothing ahead below %lld %%\n",
	       printable(json_str(c, "state", "?")), json_int(w, "cull", 0), json_int(w, "run", 0), json_int(w, "stop", 0));
	printf(" evicted   %s of %lld objects; %s pinned by %lld pins\n", bytes_of(c, "evicted_bytes"),
	       json_int(c, "evicted_objects", 0), bytes_of(c, "pinned_bytes"), json_int(c, "pins", 0));
	if (json_int(c, "inodes", 0))
		printf(" names     %lld of %lld inodes free; forgets names below %lld %%, up to %lld %%; %lld forgotten\n",
		       json_int(c, "inodes_free", 0), json_int(c, "inodes", 0), json_int(w, "inode_cull", 0),
		       json_int(w, "inode_run", 0), json_int(c, "names_forgotten", 0));
}

static void print_daemon(json_t *ans, json_t *dm)
{
	json_t *c = json_object_get(dm, "cache"), *h = json_object_get(dm, "history"), *n = json_object_get(dm, "counters");

	if (json_is_object(c))
		print_cache(c);
	if (json_int(n, "ahead_bytes", 0)) {
		printf(" ahead     %s brought unasked", bytes_of(n, "ahead_bytes"));
		printf(", %s of it not used so far\n", bytes_of(n, "ahead_unused"));
	}
	if (json_is_object(h))
		print_history(h);
	if (dm)
		printf(" requests  %lld pending; map version %lld\n", json_int(dm, "pending", 0),
		       json_int(dm, "map_version", 0));
	if (dm && json_object_get(ans, "io"))
		printf(" augurd    process %lld, on %s (%s)\n", json_int(ans, "pid", 0),
		       printable(json_str(ans, "io", "?")), printable(json_str(ans, "io_why", "")));
}

static void print_kernel(unsigned long long id)
{
	json_t *st = sysfs_stats(id);
	long long opens = json_int(st, "opens", -1), read = json_int(st, "read_bytes", 0);

	if (opens >= 0)
		printf("\n kernel    %lld opens, %s read, %s of it waited for; %lld upcalls, %lld timed out\n",
		       opens, human_bytes((unsigned long long)read),
		       human_bytes((unsigned long long)json_int(st, "miss_bytes", 0)),
		       json_int(st, "upcalls", 0), json_int(st, "upcalls_timeout", 0));
	json_decref(st);
}

static void print_mount(const struct mount *m, const struct health *h, json_t *ans, json_t *dm)
{
	const char *vol = strstr(m->source, ":/");

	printf("    fs: %-20s state: %s\n", printable(vol ? vol + 2 : m->source), h->state);
	printf(" mount: %s on %s%s\n", printable(m->source), m->point[0] ? printable(m->point) : "(another namespace)",
	       m->id ? str_of("   (id %lld)", (long long)m->id) : "");
	if (h->status[0])
		printf("status: %s\n", h->status);
	if (h->action)
		printf("action: %s\n   see: %s\n", h->action, h->see);
	print_proxies(dm);
	print_daemon(ans, dm);
	if (m->id)
		print_kernel(m->id);
}

static json_t *mount_json(const struct mount *m, const struct health *h, json_t *dm)
{
	json_t *obj = json_object();

	json_object_set_new(obj, "id", json_integer((json_int_t)m->id));
	json_object_set_new(obj, "source", json_string(printable(m->source)));
	json_object_set_new(obj, "cache_dir", json_string(printable(m->cache)));
	json_object_set_new(obj, "mount_point", json_string(printable(m->point)));
	json_object_set_new(obj, "health", json_string(h->state));
	json_object_set_new(obj, "status", json_string(h->status));
	json_object_set_new(obj, "action", json_string(h->action ? h->action : ""));
	json_object_set_new(obj, "kernel_state", json_string(m->state));
	json_object_set_new(obj, "daemon_pid", json_integer(m->pid));
	json_object_set_new(obj, "stats", m->id ? sysfs_stats(m->id) : json_object());
	if (dm)
		json_object_set(obj, "daemon", dm);
	return obj;
}

struct view {
	bool	only_bad;
	json_t	*list;		/* --json: filled */
	int	shown, bad, total;
};

static void show_mount(struct augur *a, struct view *v, const struct mount *m, json_t *ans)
{
	json_t *dm = daemon_mount(ans, m->id);
	struct health h;
	bool bad;

	judge(&h, m, dm, ans ? NULL : &a->fault);
	bad = strcmp(h.state, "ONLINE") != 0;
	v->total++;
	v->bad += bad;
	if (v->only_bad && !bad)
		return;
	if (a->json) {
		json_array_append_new(v->list, mount_json(m, &h, dm));
		return;
	}
	if (v->shown++)
		putchar('\n');
	print_mount(m, &h, ans, dm);
}

static int finish_json(struct augur *a, struct view *v, json_t *ans, int rc)
{
	json_t *obj = json_begin(a, rc != RC_FAILED), *d = json_object();

	json_object_set_new(d, "up", json_boolean(ans != NULL));
	json_object_set_new(obj, "health", json_string(rc == RC_OK ? "ONLINE" : rc == RC_DEGRADED ? "DEGRADED" : "FAILED"));
	if (ans) {
		json_object_del(ans, "schema");
		json_object_del(ans, "ok");
		json_object_del(ans, "mounts");
		json_object_update(d, ans);
	} else {
		json_object_set_new(d, "error", json_string(a->fault.code ? a->fault.code : ""));
		json_object_set_new(d, "message", json_string(printable(a->fault.message)));
	}
	json_object_set_new(obj, "daemon", d);
	json_object_set_new(obj, "module", json_boolean(module_is_loaded()));
	json_object_set(obj, "mounts", v->list);
	json_line(obj);
	return rc;
}

static int finish_text(struct augur *a, struct view *v, json_t *ans, int rc)
{
	const char *away = !ans && fault_is_permission(&a->fault) ? "only root may ask augurd" : "augurd does not answer";
	bool proxy = ans && !strcmp(json_str(ans, "role", ""), "proxy");

	if (v->only_bad && rc == RC_OK && !v->shown)
		puts("everything is fine");
	else if (proxy)
		status_proxy_print(ans);
	else if (!v->total && ans)
		puts("no augurfs volume is mounted here; augurd is running");
	else if (!v->total && module_is_loaded())
		printf("no augurfs volume is mounted here; %s\n", away);
	if (!ans && !v->total && !module_is_loaded())
		printf("the augurfs module is not loaded, and %s at %s\n", away, a->ctl);
	return rc;
}

/* A daemon that answers nonsense is a failure; one that is not there is a state to show. */
static bool fault_is_harmless(const struct augur *a)
{
	return fault_is_down(&a->fault) || fault_is_permission(&a->fault);
}

int cmd_status(struct augur *a, int argc, char **argv)
{
	static const struct option opts[] = { { "unhealthy", no_argument, NULL, 'x' }, { 0 } };
	struct mount *m = xcalloc(MOUNTS_MAX, sizeof(*m));
	struct view v = { .list = json_array() };
	json_t *ans;
	size_t n, i;
	int c, rc;

	while ((c = getopt_long(argc, argv, "x", opts, NULL)) != -1) {
		if (c != 'x')
			return usage_error(a, "unknown option");
		v.only_bad = true;
	}
	if (optind != argc)
		return usage_error(a, "status takes no argument");
	ans = client_call(a, json_object(), NULL, NULL);
	if (!ans && !fault_is_harmless(a))
		return fault_report(a, RC_FAILED);
	/* a proxy knows nothing of mounts; those of this machine are its agent's affair */
	n = strcmp(json_str(ans, "role", ""), "proxy") ? mounts_read(m) : 0;
	for (i = 0; i < n; i++)
		if (!m[i].again)
			show_mount(a, &v, &m[i], ans);
	rc = v.bad || (ans && !status_proxy_is_fine(ans)) ? RC_DEGRADED : !ans && !v.total && !module_is_loaded() ? RC_FAILED : RC_OK;
	rc = a->json ? finish_json(a, &v, ans, rc) : finish_text(a, &v, ans, rc);
	json_decref(v.list);
	json_decref(ans);
	free(m);
	return rc;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The role proxy: opens the exports, joins the store (or is it), runs until a signal.  Wiring
 * only; what is served is in origin/, what is decided in meta/.  Loop thread.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "base/log.h"
#include "role_proxy.h"

#define LEASE_MS	10000
#define STOP_NS		(2 * 1000000000ULL)

/* ---- joining ---- */

static void fail(struct proxy *p)
{
	p->failed = true;
	p->io->stop = true;
}

static void on_map(void *ctx, int status, struct meta_map *map)
{
	struct proxy_vol *vol = ctx;

	if (status)
		return;
	origin_set_map(vol->origin, map);
	meta_map_put(map);
}

static void joined_error(struct proxy_vol *vol, int err)
{
	const char *store = vol->p->cfg->join ? vol->p->cfg->join : "this proxy";

	if (err == -EXDEV)
		log_err("volume=%s the store (%s) knows this volume by other file handles than %s has here: every proxy "
			"must export the same directory of the same filesystem", vol->name, store, vol->dir);
	else if (err == -EPERM)
		log_err("volume=%s the store (%s) does not know a proxy '%s': add it to --proxies there", vol->name,
			store, vol->p->cfg->id);
	else if (err == -ENOENT)
		log_err("volume=%s is not exported by the store (%s): use the same name in --export", vol->name, store);
	else if (err == -EEXIST)
		log_err("volume=%s the store (%s) is itself called '%s': choose another --id", vol->name, store,
			vol->p->cfg->id);
	else
		log_err("volume=%s cannot join the store (%s): %s; check that augurd --role proxy --store sqlite:... "
			"runs there", vol->name, store, strerror(-err));
	fail(vol->p);
}

static void on_joined(void *ctx, int status, const struct meta_volume *mv)
{
	struct proxy_vol *vol = ctx;
	struct proxy *p = vol->p;

	if (status) {
		joined_error(vol, status);
		return;
	}
	if (vol->joined)
		return;
	memcpy(vol->id, mv->id, sizeof(vol->id));
	status = origin_identify(vol->origin, mv);
	if (status) {
		log_err("volume=%s %s: cannot be served: %s", vol->name, vol->dir, strerror(-status));
		fail(p);
		return;
	}
	vol->joined = true;
	vol->meta->ops->watch(vol->meta, on_map, vol);
	if (++p->njoined < p->nvol)
		return;
	log_notice("id=%s listening=%s volumes=%u watch=%s: serving", p->cfg->id, p->cfg->listen, p->nvol,
		   origin_watch_kind(p->vol[0].origin));
	role_ready(p->cfg);
}

static void scan_done(void *ctx, int status, u8 (*split)[AUGUR_OID_LEN], u32 nsplit,
		      const struct meta_weight weight[META_SLOTS])
{
	struct proxy_vol *vol = ctx;

	meta_store_scanned(vol->meta, status, split, nsplit, weight);
}

static void on_scan(void *ctx, struct meta *m)
{
	struct proxy_vol *vol = ctx;

	origin_scan(vol->origin, meta_store_volume(m)->id, scan_done, vol);
}

/* ---- starting ---- */

static int parse_members(const char *s, struct meta_store_cfg *mc)
{
	CLEANUP_FREE char *copy = xstrdup(s ? s : "");
	char *save, *tok;

	for (tok = strtok_r(copy, ",", &save); tok; tok = strtok_r(NULL, ",", &save)) {
		char *eq = strchr(tok, '=');
		struct meta_proxy *m = &mc->members[mc->nmembers];

		if (!eq || eq == tok || !eq[1] || mc->nmembers == META_PROXIES_MAX ||
		    (size_t)(eq - tok) >= sizeof(m->id) || strlen(eq + 1) >= sizeof(m->addr)) {
			log_err("--proxies: '%s' is not ID=ADDR[:PORT]", log_esc(tok, strlen(tok)));
			return -EINVAL;
		}
		memcpy(m->id, tok, eq - tok);
		snprintf(m->addr, sizeof(m->addr), "%s", eq + 1);
		for (u32 i = 0; i < mc->nmembers; i++) {
			if (!strcmp(mc->members[i].id, m->id)) {
				log_err("--proxies: '%s' is there twice", m->id);
				return -EINVAL;
			}
		}
		mc->nmembers++;
	}
	return 0;
}

static int self_addr(struct proxy *p, const struct meta_store_cfg *mc, struct meta_proxy *self)
{
	const char *addr = p->cfg->advertise;

	for (u32 i = 0; !addr && i < mc->nmembers; i++)
		if (!strcmp(mc->members[i].id, p->cfg->id))
			addr = mc->members[i].addr;
	if (!addr)
		addr = p->cfg->listen;
	if (strlen(addr) >= sizeof(self->addr) || strlen(p->cfg->id) >= sizeof(self->id)) {
		log_err("--id or --advertise is too long");
		return -ENAMETOOLONG;
	}
	if (addr[0] == '*' || !strncmp(addr, "0.0.0.0", 7) || !strncmp(addr, "[::]", 4)) {
		log_err("--listen %s is no address that others can dial: add --advertise ADDR", addr);
		return -EINVAL;
	}
	memset(self, 0, sizeof(*self));
	snprintf(self->id, sizeof(self->id), "%s", p->cfg->id);
	snprintf(self->addr, sizeof(self->addr), "%s", addr);
	self->state = META_P_UP;
	return 0;
}

static int start_volume(struct proxy *p, const struct role_export *ex, struct meta_store_cfg *mc)
{
	struct proxy_vol *vol = &p->vol[p->nvol];
	const char *name = proxy_volume_name(ex->volume);
	struct origin_cfg oc = { .io = p->io, .volume = vol->name, .path = ex->dir, .self_id = p->cfg->id,
				 .rescan_ns = p->cfg->rescan_s * 1000000000ULL,
				 .no_fanotify = p->cfg->watch && !strcmp(p->cfg->watch, "rescan") };
	struct meta_remote_cfg rc = { .addr = p->cfg->join, .volume = vol->name, .peer_id = p->cfg->id,
				      .role = WIRE_ROLE_PROXY };
	char why[512];
	int err;

	if (!name[0] || strlen(name) >= sizeof(vol->name) || proxy_find_vol(p, name)) {
		log_err("--export %s=%s: the name is empty, too long or there twice", ex->volume, ex->dir);
		return -EINVAL;
	}
	vol->p = p;
	vol->dir = ex->dir;
	snprintf(vol->name, sizeof(vol->name), "%s", name);
	err = self_addr(p, mc, &vol->self);
	if (err)
		return err;
	err = origin_new(&oc, &vol->origin, why, sizeof(why));
	if (err) {
		log_err("--export %s: %s", ex->volume, why);
		return err;
	}
	mc->volume = vol->name;
	mc->ctx = vol;
	vol->meta = p->db ? meta_sqlite_new(p->db, mc) : meta_remote_new(p->io, &rc);
	if (!vol->meta) {
		origin_free(vol->origin);
		return -EIO;
	}
	p->nvol++;
	return 0;
}

static int start_store(struct proxy *p, struct meta_store_cfg *mc)
{
	int err = parse_members(p->cfg->proxies, mc);

	if (err || !p->cfg->store)
		return err;
	mc->seed = p->cfg->seed;
	mc->nshards = p->cfg->nshards;
	mc->scan = on_scan;
	if (mc->nshards > META_SHARDS_MAX) {
		log_err("--shards %u: at most %u", mc->nshards, META_SHARDS_MAX);
		return -EINVAL;
	}
	err = meta_db_open(p->io, p->cfg->store, &p->db);
	if (err)
		log_err("--store sqlite:%s: cannot be opened: %s; %s", p->cfg->store, strerror(-err),
			err == -EBUSY ? "stop the augurd that uses it, or name another file" :
			"its directory must exist and be writable");
	return err;
}

static int check_cfg(const struct role_cfg *cfg)
{
	const char *missing = !cfg->id ? "--id NAME" : !cfg->listen ? "--listen ADDR[:PORT]" :
			      !cfg->nexports ? "--export VOLUME=DIR" :
			      !cfg->store && !cfg->join ? "--store sqlite:FILE or --store remote:ADDR" : NULL;

	if (missing) {
		log_err("a proxy needs %s; see augurd --help", missing);
		return -EINVAL;
	}
	if (cfg->store && cfg->join) {
		log_err("--store and --join exclude each other: one proxy has the store, the others join it");
		return -EINVAL;
	}
	return 0;
}

int proxy_start(struct proxy *p)
{
	struct meta_store_cfg mc = { .nmembers = 0 };
	int err;

	p->lease_ms = p->cfg->lease_ms ? p->cfg->lease_ms : LEASE_MS;
	p->started_ns = io_now(p->io);
	err = start_store(p, &mc);

	for (unsigned int i = 0; i < p->cfg->nexports && !err; i++)
		err = start_volume(p, &p->cfg->exports[i], &mc);
	if (err)
		return err;
	p->server = xfer_server_new(p->io, p->cfg->listen, &proxy_server_ops, p, &err);
	if (!p->server) {
		log_err("--listen %s: %s%s", p->cfg->listen, strerror(-err),
			err == -EADDRINUSE ? "; another augurd runs there, or choose another port" :
			err == -EADDRNOTAVAIL ? "; it is no address of this host or network namespace" : "");
		return err;
	}
	if (p->cfg->ctl)
		p->ctl = ctl_server_new(p->io, p->cfg->ctl, proxy_verbs, p, &err);
	if (err)
		return err;
	for (unsigned int i = 0; i < p->nvol; i++) {
		struct proxy_vol *vol = &p->vol[i];
		struct meta_volume mv = { .nsplit = 0 };

		snprintf(mv.name, sizeof(mv.name), "%s", vol->name);
		origin_fingerprint(vol->origin, mv.root_oid);
		vol->meta->ops->join(vol->meta, &mv, &vol->self, on_joined, vol);
	}
	return 0;
}

/* ---- stopping ---- */

static void on_signal(struct io_op *op, int res)
{
	struct proxy *p = container_of(op, struct proxy, sig_op);

	log_notice("id=%s stopping", p->cfg->id);
	p->io->stop = true;
}

static bool at_rest(struct proxy *p)
{
	for (unsigned int i = 0; i < p->nvol; i++)
		if (!origin_idle(p->vol[i].origin))
			return false;
	return true;
}

static void wake_up(struct io_op *op, int res)
{
}

/* What still blocks on an origin after STOP_NS is left to the end of the process. */
void proxy_stop(struct proxy *p)
{
	u64 end = io_now(p->io) + STOP_NS;

	if (p->ctl)
		ctl_server_free(p->ctl);
	if (p->server)
		xfer_server_free(p->server);
	for (unsigned int i = 0; i < p->nvol; i++) {
		p->vol[i].meta->ops->close(p->vol[i].meta);
		origin_close(p->vol[i].origin);
	}
	p->io->stop = false;
	for (int n = 0; (n < 4 || !at_rest(p)) && io_now(p->io) < end; n++) {
		if (!p->tick.busy) {
			p->tick.done = wake_up;
			p->io->ops->timer(p->io, &p->tick, io_now(p->io) + 5000000);
		}
		if (p->io->ops->step(p->io))
			break;
	}
	for (unsigned int i = 0; i < p->nvol; i++)
		origin_free(p->vol[i].origin);
	if (p->db)
		meta_db_close(p->db);
}

static int signal_fd(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int role_proxy_run(struct role_cfg *cfg)
{
	struct proxy *p;
	int failed;

	if (check_cfg(cfg) || (cfg->netns && role_enter_netns(cfg->netns)))
		return 1;
	p = xcalloc(1, sizeof(*p));
	p->cfg = cfg;
	p->io = io_new(cfg->io);
	if (!p->io) {
		free(p);
		return 1;
	}
	p->sig_fd = signal_fd();
	p->sig_op.done = on_signal;
	p->io->ops->poll_in(p->io, &p->sig_op, p->sig_fd);
	if (proxy_start(p))
		p->failed = true;
	else if (io_run(p->io))
		p->failed = true;
	proxy_stop(p);
	failed = p->failed;
	p->io->ops->close(p->io, p->sig_fd);
	p->io->ops->destroy(p->io);
	free(p);
	return failed;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cluster.c - three proxies and the agent, in one process: their start, their restarts, their end.
 *
 * Restarts are asked for in events and happen between two of them, because stopping a proxy
 * lets the world go on until it is at rest.
 */
#include <stdio.h>

#include "agent/agent.h"
#include "role_proxy.h"
#include "sim.h"

struct agent sim_agent;

static struct pnode { struct proxy *p; struct role_cfg cfg; u64 up_at; bool bounce; u64 down_ns; } px[PROXIES + 1];
static struct vol *vol;
static char *top_dir, *cache_dir;
static bool agent_wanted_new, agent_killed, agent_closing, agent_ready, waiting_ready;
static u64 agent_retry;

/* ---- what main.c has ---- */

int role_enter_netns(const char *name)
{
	return -ENOSYS;
}

void role_ready(struct role_cfg *cfg)
{
	note("%s is ready", cfg->id);
}

/* ---- proxies ---- */

static void proxy_down(int i)
{
	struct node *n = &nodes[i];
	struct proxy *p = px[i].p;

	note("proxy %d down", i);
	hits[HIT_PROXY] += !sim_quiet;
	net_down(n);
	running = n;
	proxy_stop(p);
	running = NULL;
	/* The worker of its database comes back last. */
	for (u64 end = sim_now + SEC; n->ops && sim_now < end;)
		world_step();
	p->io->ops->destroy(p->io);
	free(p);
	px[i].p = NULL;
}

static void proxy_up(int i)
{
	struct proxy *p = px[i].p = xcalloc(1, sizeof(*p));
	int err;

	p->cfg = &px[i].cfg;
	p->io = io_sim_open(i);
	p->sig_fd = -1;
	running = &nodes[i];
	err = proxy_start(p);
	running = NULL;
	note("proxy %d up: %d", i, err);
	if (!err)
		return;
	/* An origin that fails keeps a proxy from starting, as long as it does. */
	if (disk_trouble_until(i) + SEC < sim_now)
		violated("proxy %d does not start: error %d", i, err);
	proxy_down(i);
	px[i].up_at = sim_now + SEC;
}

static void proxies_begin(bool rescan)
{
	static char ids[PROXIES + 1][4], addrs[PROXIES + 1][24];
	char *export = xasprintf("%s/origin/tree", top_dir);

	for (int i = 1; i <= PROXIES; i++) {
		struct role_cfg *c = &px[i].cfg;

		snprintf(ids[i], sizeof(ids[i]), "p%d", i);
		snprintf(addrs[i], sizeof(addrs[i]), "10.0.0.%d:7433", i);
		*c = (struct role_cfg){
			.id = ids[i], .insecure = true, .ready_fd = -1, .listen = addrs[i], .seed = rnd(), .nshards = 12,
			.proxies = "p1=10.0.0.1:7433,p2=10.0.0.2:7433,p3=10.0.0.3:7433", .lease_ms = LEASE_MS,
			.exports = { { "vol", export } }, .nexports = 1, .watch = rescan ? "rescan" : NULL, .rescan_s = 2,
		};
		if (i == 1)
			c->store = xasprintf("%s/store/store.db", top_dir);
		else
			c->join = "10.0.0.1:7433";
		proxy_up(i);
	}
}

void proxy_bounce(int i, u64 down_ns)
{
	px[i].bounce = true;
	px[i].down_ns = down_ns;
}

/* ---- the agent ---- */

static void ready(void *arg, int err)
{
	note("the volume is ready: %d", err);
	waiting_ready = false;
	agent_ready = !err;
	if (!err && vol && !vol->m)
		vol_mount(vol, kmount.id);
}

static void agent_up(void)
{
	enum ctl_error cause;
	int err;

	running = &nodes[AGENT];
	err = vol_new(&sim_agent, "10.0.0.1:7433,10.0.0.2:7433,10.0.0.3:7433:/vol", cache_dir, &vol, &cause);
	running = NULL;
	if (!err)
		return;
	/* A disk that fails may refuse the whole cache, as long as it does. */
	if (disk_trouble_until(AGENT) + SEC < sim_now)
		violated("the agent does not attach its cache: error %d", err);
	note("attach failed: %d", err);
	vol = NULL;
	agent_retry = sim_now + SEC;
}

/* Whoever mounts asks again when a proxy has refused. */
static void agent_wait(void)
{
	if (!vol || waiting_ready || agent_ready)
		return;
	waiting_ready = true;
	running = &nodes[AGENT];
	vol_when_ready(vol, sim_now + 10 * SEC, ready, NULL);
	running = NULL;
}

static void agent_closed(void *arg)
{
	agent_closing = false;
	note("agent down");
}

static void agent_down(void)
{
	struct vol *v = vol;

	agent_closing = true;
	agent_ready = false;
	vol = NULL;
	running = &nodes[AGENT];
	vol_close(v, agent_closed, NULL);
	running = NULL;
	for (u64 end = sim_now + 60 * SEC; (agent_closing || nodes[AGENT].ops) && sim_now < end;)
		world_step();
	if (agent_closing)
		violated("the agent does not come to its end");
}

void agent_bounce(bool kill)
{
	agent_wanted_new = true;
	agent_killed |= kill;
}

static void agent_again(void)
{
	bool killed = agent_killed;

	agent_wanted_new = agent_killed = false;
	hits[killed ? HIT_AGENT_KILL : HIT_AGENT]++;
	if (killed)
		rows_keep(cache_dir);
	agent_down();
	if (killed) {
		disk_release();		/* what was there finds room again */
		rows_back(cache_dir);
	}
	agent_up();
}

bool cluster_ready(void)
{
	for (int i = 1; i <= PROXIES; i++)
		if (!px[i].p || !px[i].p->nvol || !px[i].p->vol[0].joined)
			return false;
	return agent_ready && vol && vol->m;
}

void cluster_poll(void)
{
	for (int i = 1; i <= PROXIES; i++) {
		/* An origin that fails may keep it from serving: it ends, and is started again. */
		if (px[i].p && px[i].p->failed && disk_trouble_until(i) + SEC < sim_now)
			violated("proxy %d gives up", i);
		px[i].bounce |= px[i].p && px[i].p->failed;
		if (px[i].bounce && px[i].p) {
			px[i].bounce = false;
			proxy_down(i);
			px[i].up_at = sim_now + px[i].down_ns;
		}
		if (!px[i].p && (sim_now >= px[i].up_at || sim_quiet))
			proxy_up(i);
	}
	if (agent_wanted_new && vol)
		agent_again();
	if (!vol && sim_now >= agent_retry)
		agent_up();
	agent_wait();
}

/* ---- begin and end ---- */

void cluster_begin(const char *top, bool rescan)
{
	top_dir = xstrdup(top);
	cache_dir = xasprintf("%s/cache/c", top);
	proxies_begin(rescan);
	sim_agent.io = io_sim_open(AGENT);
	sim_agent.id = "sim";
	list_init(&sim_agent.vols);
	list_init(&sim_agent.listeners);
	agent_up();
	kernel_begin(cache_dir);
}

bool cluster_claims(void)
{
	return vol && !vol->c->suspects;
}

void cluster_check_rest(void)
{
	if (!vol)
		return;
	if (vol->reqs.live)
		violated("at rest %zu requests are still in the agent", vol->reqs.live);
	if (vol->dirs.live)
		violated("at rest %zu directories are still being worked on", vol->dirs.live);
	if (vol->ahead_bytes || vol->walk_fly)
		violated("at rest %lu bytes and %u listings are still under way", vol->ahead_bytes, vol->walk_fly);
	if (!list_empty(&vol->space.files) || !list_empty(&vol->space.others) || vol->space.stream_bytes || vol->space.running)
		violated("at rest somebody waits for room, or bytes are still streamed");
	if (vol->space.state != SPACE_OK)
		violated("at rest, with all room there is, the cache is %s", space_state(vol));
	if (looks_pending(vol))
		violated("at rest directories are still being looked at");
	if (vol->failing)
		violated("at rest %u questions are still being retried", vol->failing);
}

void cluster_end(void)
{
	agent_down();
	rows_check(cache_dir);
	sim_agent.io->ops->destroy(sim_agent.io);
	for (int i = PROXIES; i >= 1; i--)
		if (px[i].p)
			proxy_down(i);
	for (int i = 0; i < NODES; i++)
		if (net_open(i))
			violated("node %d leaves %u descriptors of the network open", i, net_open(i));
}

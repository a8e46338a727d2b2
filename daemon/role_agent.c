// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * role_agent.c - the agent of a host: wires upcall, cache, xfer and ctl together, runs the
 * loop, and takes everything down in order.
 *
 * Netlink is opened first, in the namespace the daemon was started in; --netns then moves
 * only what is opened later.  At the end claims are settled before the process goes, within
 * CLOSE_NS; sessions end with their sockets, and the kernel keeps what waits for the next.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "agent/agent.h"
#include "base/log.h"
#include "role.h"

#define CLOSE_NS (10ull * 1000000000)

struct run {
	struct agent	ag;
	struct role_cfg	*cfg;
	int		sig_fd;
	struct io_op	sig_op, end_op;
	bool		ending;
};

/* ---- identity ---- */

static void client_id(struct role_cfg *cfg, u8 id[16])
{
	char buf[256] = "";
	XXH128_canonical_t canon;
	FILE *f;

	if (cfg->client_id_set) {
		memcpy(id, cfg->client_id, 16);
		return;
	}
	f = fopen("/etc/machine-id", "re");
	if (f) {
		if (!fgets(buf, sizeof(buf), f))
			buf[0] = 0;
		fclose(f);
	}
	if (!buf[0])
		gethostname(buf, sizeof(buf) - 1);
	XXH128_canonicalFromHash(&canon, XXH3_128bits_withSeed(buf, strlen(buf), cfg->netns ? XXH3_64bits(cfg->netns, strlen(cfg->netns)) : 0));
	memcpy(id, canon.digest, 16);
}

/* ---- the end ---- */

static void stop_now(struct io_op *op, int res)
{
	struct run *run = container_of(op, struct run, end_op);

	if (run->ag.closing)
		log_warn("event=stop volumes_not_closed=%u", run->ag.closing);
	run->ag.io->stop = true;
}

static void vol_closed(void *arg)
{
	struct run *run = arg;

	if (--run->ag.closing == 0)
		run->ag.io->ops->cancel(run->ag.io, &run->end_op);
}

static void stop_begin(struct run *run)
{
	struct agent *ag = &run->ag;

	if (run->ending)
		return;
	run->ending = true;
	ctl_server_free(ag->ctl);
	ag->ctl = NULL;
	ag->closing = 1;
	run->end_op.done = stop_now;
	ag->io->ops->timer(ag->io, &run->end_op, io_now(ag->io) + CLOSE_NS);
	while (!list_empty(&ag->vols)) {
		ag->closing++;
		vol_close(list_first(&ag->vols, struct vol, link), vol_closed, run);
	}
	upcall_free(ag->up);
	vol_closed(run);
}

static void sig_done(struct io_op *op, int res)
{
	struct run *run = container_of(op, struct run, sig_op);
	struct signalfd_siginfo si;

	if (read(run->sig_fd, &si, sizeof(si)) == sizeof(si)) {
		log_notice("event=signal signal=%u action=stop", si.ssi_signo);
		stop_begin(run);
	} else if (!run->ending) {
		run->ag.io->ops->poll_in(run->ag.io, op, run->sig_fd);
	}
}

static int watch_signals(struct run *run)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	run->sig_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->sig_fd < 0)
		return -errno;
	run->sig_op.done = sig_done;
	run->ag.io->ops->poll_in(run->ag.io, &run->sig_op, run->sig_fd);
	return 0;
}

/* ---- the start ---- */

static int start(struct run *run)
{
	struct role_cfg *cfg = run->cfg;
	struct agent *ag = &run->ag;
	enum ctl_error cause;
	struct vol *v;
	int err;

	ag->io = io_new(cfg->io);
	if (!ag->io)
		return -errno;
	ag->started_ns = io_now(ag->io);
	err = upcall_new(ag->io, &agent_upcall_ops, ag, &ag->up);
	if (!err && cfg->netns)
		err = role_enter_netns(cfg->netns);
	if (!err)
		err = watch_signals(run);
	if (!err)
		ag->ctl = ctl_server_new(ag->io, cfg->ctl ? cfg->ctl : CTL_SOCK_DEFAULT, agent_verbs, ag, &err);
	if (!err && cfg->cache)
		err = vol_new(ag, cfg->source, cfg->cache, &v, &cause);
	return err;
}

int role_agent_run(struct role_cfg *cfg)
{
	struct run run = { .cfg = cfg, .sig_fd = -1 };
	struct agent *ag = &run.ag;
	char host[65] = "agent";
	int err;

	if (!cfg->insecure) {
		log_err("event=start cause=AUGUR_E_USAGE error=\"TLS between daemons is not built in yet\" hint=\"say --insecure to use plain TCP on a trusted network\"");
		return 1;
	}
	if (!cfg->cache != !cfg->source) {
		log_err("event=start cause=AUGUR_E_USAGE error=\"--cache and --source go together\"");
		return 1;
	}
	umask(0);	/* modes are the owner's word, to the bit */
	gethostname(host, sizeof(host) - 1);
	ag->id = cfg->id ? cfg->id : host;
	ag->lease_ms = cfg->lease_ms;
	ag->only_static = cfg->cache;
	ag->no_history = cfg->no_history;
	ag->history.rows = cfg->history_rows;
	ag->history.age_ns = cfg->history_days * 86400ull * 1000000000;
	list_init(&ag->vols);
	list_init(&ag->listeners);
	client_id(cfg, ag->client_id);
	err = start(&run);
	if (err) {
		log_err("event=start error=\"%s\" action=exit", strerror(-err));
		return 1;
	}
	role_ready(cfg);
	log_info("event=started role=agent id=%s ctl=%s netns=%s", ag->id, cfg->ctl ? cfg->ctl : CTL_SOCK_DEFAULT,
		 cfg->netns ? cfg->netns : "-");
	err = io_run(ag->io);
	ag->io->ops->destroy(ag->io);
	log_info("event=stopped");
	return err ? 1 : 0;
}

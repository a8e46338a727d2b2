/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * role.h - what a role of augurd is told at its start: the command line, checked by main.c.
 *
 * main.c parses, fills struct role_cfg, sets up log and signals (SIGTERM and SIGINT blocked;
 * the role reads them through a signalfd) and calls one role; the role owns everything after
 * that, runs the loop and returns the exit status.  Strings stay valid for the whole run.
 *
 *   augurd --role agent --insecure [--netns NAME] [--ctl SOCK] [--cache DIR --source P1,P2:/VOL]
 *          [--lease-ms N] [--client-id HEX] [--log-level N] [--ready-fd N]
 *          [--no-history | --history-rows N --history-days N]
 *   augurd --role proxy --insecure --id ID --listen ADDR --export VOL=DIR ...
 *          --store sqlite:FILE | --store remote:ADDR [--proxies ID=ADDR,...] [--advertise ADDR]
 *          [--shards N] [--seed N] [--netns NAME] [--ctl SOCK] ...
 */
#ifndef AUGUR_ROLE_H
#define AUGUR_ROLE_H

#include "common/types.h"

#define ROLE_EXPORTS_MAX 16

struct role_export {
	const char	*volume;	/* "home"; a leading '/' is ignored */
	const char	*dir;		/* origin directory */
};

struct role_cfg {
	/* both roles */
	const char	*id;		/* proxy: its name in the map; agent: host name if not given */
	bool		insecure;	/* plain TCP allowed */
	const char	*netns;		/* enter /run/netns/NAME for the sockets, or NULL */
	const char	*io;		/* "uring", "epoll", or NULL: what works */
	const char	*ctl;		/* control socket path; default CTL_SOCK_DEFAULT */
	u32		lease_ms;	/* proxy: leases given; agent: upper bound of what it asks, 0: the mount's */
	int		log_level;	/* enum log_level */
	int		ready_fd;	/* "1\n" is written and it is closed once serving; -1: none */

	/* agent */
	const char	*cache;		/* static attach: cache directory, with source; or NULL */
	const char	*source;	/* PROXY[,PROXY...]:/VOLUME */
	u8		client_id[16];
	bool		client_id_set;	/* else from /etc/machine-id and the netns name */
	bool		no_history;	/* keep no access log */
	u32		history_rows;	/* kept at most; 0: the default */
	u32		history_days;	/* so long at most; 0: the default */

	/* proxy */
	const char	*listen;	/* ADDR[:PORT] */
	const char	*advertise;	/* address others dial; default: listen */
	struct role_export exports[ROLE_EXPORTS_MAX];
	unsigned int	nexports;
	const char	*watch;		/* "rescan": no events of the origin, or NULL: where they tell all */
	u32		rescan_s;	/* without events each object is looked at this often; 0: 30 */
	const char	*store;		/* database file of the embedded store (this proxy is the store), or NULL */
	const char	*join;		/* address of the proxy that is the store, or NULL */
	const char	*proxies;	/* store: the configured members ID=ADDR[,ID=ADDR...], or NULL: as they join */
	u64		seed;		/* store: deals slots to shards and proxies */
	u32		nshards;	/* store: 0 means META_SHARDS_DEF */
};

/* Run until SIGTERM or SIGINT. Exit status of the process (0, or 1 with a logged cause). */
int role_agent_run(struct role_cfg *cfg);
int role_proxy_run(struct role_cfg *cfg);

/*
 * Enters the network namespace for the sockets of this thread and the workers started later.
 * 0 or -errno, logged.  Defined in main.c; the agent calls it after netlink is open, the proxy
 * at once.
 */
int role_enter_netns(const char *name);
/* Writes the readiness byte to cfg->ready_fd, once. */
void role_ready(struct role_cfg *cfg);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* role_proxy.h - private to the proxy role: its volumes, its connections, and what is shown of them. */
#ifndef AUGUR_ROLE_PROXY_H
#define AUGUR_ROLE_PROXY_H

#include <jansson.h>

#include "ctl/server.h"
#include "meta/meta.h"
#include "origin/origin.h"
#include "role.h"
#include "xfer/xfer.h"

struct proxy;
struct proxy_vol {
	struct proxy	*p;
	char		name[64];	/* without leading '/' */
	const char	*dir;
	struct origin	*origin;
	struct meta	*meta;
	struct meta_proxy self;
	bool		joined;
	u8		id[16];
};

struct proxy {
	struct role_cfg	*cfg;
	struct io	*io;
	struct xfer_server *server;
	struct ctl_server *ctl;
	struct meta_db	*db;		/* this proxy is the store */
	struct proxy_vol vol[ROLE_EXPORTS_MAX];
	unsigned int	nvol, njoined;
	u32		lease_ms;
	int		sig_fd;
	struct io_op	sig_op, tick;
	u64		started_ns;
	unsigned int	conns;
	bool		failed;		/* exit status */
};

/* role_proxy.c: cfg and io are set; without cfg->ctl there is no control socket.  0 or -errno, logged. */
int proxy_start(struct proxy *p);
/* Steps the table until what was begun has come back, 2 s at most; nothing is left but @p and its io. */
void proxy_stop(struct proxy *p);

/* role_proxy_conn.c */
extern const struct xfer_server_ops proxy_server_ops;	/* ctx: struct proxy */
const char *proxy_volume_name(const char *s);		/* "/home" and "home" are one name */
struct proxy_vol *proxy_find_vol(struct proxy *p, const char *name);

/* role_proxy_ctl.c */
extern const struct ctl_verb proxy_verbs[];
json_t *proxy_status(struct proxy *p);

#endif

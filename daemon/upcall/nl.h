/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nl.h - private to the upcall room: one netlink socket (chan), and the room's structures.
 *
 * A chan is read by polling in the loop.  A question asked on it is answered inside send();
 * what lies in the queue before the answer is put aside (stash) and handed to msg() from the
 * loop afterwards, so no caller of a question meets a re-entrant request.
 */
#ifndef AUGUR_UPCALL_NL_H
#define AUGUR_UPCALL_NL_H

#include <netlink/attr.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "base/mem.h"
#include "upcall/upcall.h"

#define NL_SOCKBUF	(8 << 20)
#define NL_RX		(256 * 1024)
#define NL_TX		(128 * 1024)

struct nl_chan {
	struct upcall	*u;
	struct nl_sock	*sk;
	int		fd;
	u32		seq;
	struct io_op	poll_op, stash_op;
	bool		polling, stash_armed, closing;
	struct list	stash;
	void		(*msg)(struct nl_chan *c, struct nlmsghdr *nlh);	/* not an answer */
	void		(*lost)(struct nl_chan *c);				/* ENOBUFS */
	void		(*closed)(struct nl_chan *c);				/* nothing in flight any more */
};

/* Opens a socket in the home namespace. 0 or -errno. */
int nl_chan_open(struct upcall *u, struct nl_chan *c);
void nl_chan_start(struct nl_chan *c);
/* closed() follows, from the loop or, if nothing is in flight, at once. */
void nl_chan_close(struct nl_chan *c);
/* A message of ours for @cmd; never NULL. */
struct nl_msg *nl_msg_new(struct upcall *u, int cmd, int flags, size_t room);
/* Sends @msg (freed) and hands each answer to fn until the acknowledgement or the end of the dump. 0 or -errno. */
typedef int nl_answer_fn(void *arg, struct nlattr **tb, struct nlmsghdr *nlh);
int nl_ask(struct nl_chan *c, struct nl_msg *msg, nl_answer_fn *fn, void *arg);
/* Sends without asking for an answer. */
int nl_send_raw(struct nl_chan *c, const void *buf, size_t len);
/* Attributes of one of our family's messages. 0 or -EBADMSG. */
int nl_parse(struct nlmsghdr *nlh, struct nlattr **tb);
u64 nl_u64(struct nlattr **tb, int a);
u32 nl_u32(struct nlattr **tb, int a);
int nl_error_of(struct nlmsghdr *nlh, const char **text);

struct mount {
	struct upcall_mount	pub;
	struct upcall		*u;
	struct list		link;
	struct nl_chan		req, ev;
	bool			has_ev, dead;
	unsigned int		open_chans;	/* sockets and operations in flight: mt lives on */
	/* gathered */
	struct io_op		flush_op;
	bool			flush_armed;
	u8			*tx;
	size_t			tx_len;
	struct nl_msg		*batch;		/* message still taking items */
	int			batch_cmd;
	unsigned int		batch_items;
	struct io_op		pull_op;
	bool			pull_armed;
	u64			pulled_ns;	/* last pull after a refusal */
};

struct upcall {
	struct io		*io;
	const struct upcall_ops	*ops;
	void			*ctx;
	int			home_ns;	/* network namespace netlink lives in */
	int			family, ctrl_family, state_grp;
	int			error;		/* why there is no module */
	struct nl_chan		ctl;		/* dumps */
	struct nl_chan		note;		/* multicast: mounts, the family itself */
	struct list		mounts;
	struct io_op		rescan_op;
	u64			rescan_at;
	bool			rescan_armed, rescan_sooner, freeing;
	u8			*rx, *rx_ask;
};

void mount_gone(struct mount *mt);
void mount_msg(struct nl_chan *c, struct nlmsghdr *nlh);	/* recv.c */
void mount_ev_msg(struct nl_chan *c, struct nlmsghdr *nlh);
int mount_pull(struct mount *mt);
void mount_tx_free(struct mount *mt);
void mount_op_put(struct mount *mt);		/* an operation of the mount is back */
void upcall_rescan_in(struct upcall *u, u64 delay_ns);

#endif

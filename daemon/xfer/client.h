/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * client.h - what the two files of the dialling side share: peer.c brings a connection up,
 * client.c runs calls over it.  Private to xfer/.
 */
#ifndef AUGUR_XFER_CLIENT_H
#define AUGUR_XFER_CLIENT_H

#include "base/addr.h"
#include "xfer/conn.h"

enum peer_state { PEER_IDLE, PEER_RESOLVING, PEER_CONNECTING, PEER_HELLO, PEER_UP };

/* One connection and the calls on it; a peer that said GOODBYE leaves an old one behind. */
struct client_link {
	struct list	link;		/* peer->links */
	struct xfer_peer *peer;
	struct xfer_conn *conn;
	struct map	calls;		/* stream -> struct xfer_call */
	u32		next_stream;
	u64		hello_sent_ns;
	u64		asked_ns;	/* begin of what may be silence: its first call since something came */
	u64		ping_ns;	/* of the last PING */
};

struct xfer_peer {
	struct io	*io;
	struct xfer_peer_cfg cfg;	/* strings owned */
	enum peer_state	state;
	bool		freed;
	struct client_link *cur;	/* from HELLO on */
	struct list	links;
	struct list	waiting;	/* calls without a connection */
	struct list	failed;		/* calls whose end comes with the kick */
	struct io_op	kick;

	/* dialling */
	struct addr_text text;
	struct addr_lookup lookup;
	int		naddrs, addr_turn;
	struct io_op	connect, dial_timer;
	bool		want_dial;	/* once what the last dial left in flight has ended */
	unsigned int	failures;	/* dials in a row */
	int		refusal;	/* of the last HELLO, 0: none */
	u64		retry_ns;	/* no dial before */
	int		last_err;

	/* time limits of calls */
	struct io_op	call_timer;
	u64		timer_at;

	u64		hello_rtt_ns;
	struct xfer_stats stats;
};

/* peer.c */
void peer_dial(struct xfer_peer *p);
/* The dial has ended without a connection. */
void peer_dial_failed(struct xfer_peer *p, int err);
int peer_hello_frame(struct client_link *l, const struct wire_hdr *h, struct xfer_buf *body);
/* Frees the peer once nothing of it is in flight. */
void peer_try_free(struct xfer_peer *p);

/* client.c */
struct client_link *client_link_new(struct xfer_peer *p, int fd);
void client_send_waiting(struct xfer_peer *p);
void client_fail_waiting(struct xfer_peer *p, int err);
void client_call_timer_done(struct io_op *op, int res);
void client_kick(struct xfer_peer *p);
void client_kick_done(struct io_op *op, int res);

#endif

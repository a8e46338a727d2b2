/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xfer.h - the transfer engine: framed, multiplexed requests over stream sockets.
 *
 * Above it there are calls and handlers, below it the I/O table.  Loop thread only.
 * Client: one struct xfer_peer per remote address; it dials on demand, re-dials with
 * backoff, says HELLO, and fails its calls with -EHOSTUNREACH / -ETIMEDOUT / -ECONNRESET.
 * Server: accepts, demands HELLO within 5 s, hands each request to ops->request().
 */
#ifndef AUGUR_XFER_XFER_H
#define AUGUR_XFER_XFER_H

#include "base/io.h"
#include "base/mem.h"
#include "wire/msg.h"

/* A received body: pooled, reference counted memory. */
struct xfer_buf { u8 *data; size_t len; unsigned int refs; struct xfer_buf *next; void *owner; };
void xfer_buf_get(struct xfer_buf *b);
void xfer_buf_put(struct xfer_buf *b);

/* ---- client ---- */
struct xfer_peer;
struct xfer_call {
	/* Frames before the last one (DATA, ENTRIES, DONE).  Take a reference to keep buf; while
	 * XFER_BUFS buffers are kept, the connection stops receiving (back pressure). */
	void	(*frame)(struct xfer_call *c, const struct wire_hdr *h, struct xfer_buf *body);
	/* Once: the last frame (body may be empty) or a transport error (h NULL). */
	void	(*done)(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *body);
	u64	deadline_ns;	/* 0: the peer's default of 30 s without any frame */
	/* private */
	struct list link;
	struct xfer_peer *peer;
	struct wire_out req;
	u16	type;
	u32	stream;
	u64	last_ns;
};
struct xfer_peer_cfg {
	const char	*addr;		/* HOST:PORT or [V6]:PORT or HOST; copied */
	const char	*volume;	/* HELLO */
	const char	*peer_id;
	enum wire_role	role;
	u8		client_id[16];
	/* HELLO answer arrived (also after a re-dial): body valid during the call. -errno refuses. */
	int		(*hello)(void *ctx, struct xfer_peer *p, struct wire_in body);
	void		(*push)(void *ctx, struct xfer_peer *p, const struct wire_hdr *h, struct wire_in body);	/* stream 0 */
	void		(*down)(void *ctx, struct xfer_peer *p, int err);
	void		*ctx;
	u64		connect_timeout_ns;	/* 0: 5 s */
};
struct xfer_peer *xfer_peer_new(struct io *io, const struct xfer_peer_cfg *cfg);
/* Fails all calls with -ECANCELED, closes.  Callbacks may still come until the next step. */
void xfer_peer_free(struct xfer_peer *p);
/* Takes over c->req (start with wire_out_init and fill).  Never completes before it returns. */
void xfer_call(struct xfer_peer *p, struct xfer_call *c, u16 type);
void xfer_call_cancel(struct xfer_call *c);		/* done(-ECANCELED) follows */
struct xfer_stats { u64 rx_bytes, tx_bytes, rx_frames, tx_frames, calls, errors, dials; u64 rtt_ns; bool up; };
void xfer_peer_stats(const struct xfer_peer *p, struct xfer_stats *st);
const char *xfer_peer_addr(const struct xfer_peer *p);
void *xfer_peer_ctx(const struct xfer_peer *p);

/* ---- server ---- */
struct xfer_server;
struct xfer_conn;
struct xfer_server_ops {
	/* HELLO of a client: answer fields into @out; -errno refuses (the peer is told). */
	int	(*hello)(void *ctx, struct xfer_conn *c, struct wire_in body, struct wire_out *out);
	/* One request.  Answer with xfer_reply*() on the same stream, now or later. */
	void	(*request)(void *ctx, struct xfer_conn *c, const struct wire_hdr *h, struct wire_in body);
	/* The connection is gone: drop what is kept for it. */
	void	(*gone)(void *ctx, struct xfer_conn *c);
};
struct xfer_server *xfer_server_new(struct io *io, const char *addr, const struct xfer_server_ops *ops, void *ctx, int *err);
void xfer_server_free(struct xfer_server *s);
/* Connections outlive their socket while somebody holds a reference; replies to a dead one are dropped. */
void xfer_conn_get(struct xfer_conn *c);
void xfer_conn_put(struct xfer_conn *c);
bool xfer_conn_alive(const struct xfer_conn *c);
void xfer_conn_set(struct xfer_conn *c, void *user);	/* one pointer for the handler's state */
void *xfer_conn_user(const struct xfer_conn *c);
const char *xfer_conn_peer(const struct xfer_conn *c);	/* printable address */
/* Takes over w's buffer.  flags: WIRE_LAST, ... (WIRE_REPLY is added). */
void xfer_reply(struct xfer_conn *c, u32 stream, u16 type, u16 flags, int status, u64 off, struct wire_out *w);
void xfer_push(struct xfer_conn *c, u16 type, struct wire_out *w);	/* stream 0 */
/*
 * Streams [off, off + len) of fd as DATA frames, fairly with other streams of the connection,
 * then calls done (which sends the LAST or DONE frame).  fd stays the caller's and open until
 * done.  res: bytes sent (short: the file ended) or -errno.  aux: BATCH item number, else 0.
 */
struct xfer_file {
	void	(*done)(struct xfer_file *f, s64 res);
	int	fd; u64 off, len; u32 aux;
	/* private */
	struct list link; struct xfer_conn *conn; u32 stream; u16 type; u64 sent; bool busy;
};
void xfer_reply_file(struct xfer_conn *c, u32 stream, u16 type, struct xfer_file *f);
void xfer_server_stats(const struct xfer_server *s, struct xfer_stats *st);

#endif

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

/*
 * A received body: pooled, reference counted memory, page aligned if larger than 32 KiB.  The
 * reference is the engine's during a callback; take one to keep it, and keep it only for work
 * that ends by itself: while a connection has XFER_BUFS * WIRE_DATA_MAX bytes kept, it does
 * not receive.
 */
#define XFER_BUFS	16
struct xfer_conn;
struct xfer_buf { u8 *data; size_t len, cap; unsigned int refs; struct xfer_buf *next; struct xfer_conn *owner; };
void xfer_buf_get(struct xfer_buf *b);
void xfer_buf_put(struct xfer_buf *b);

/* ---- client ---- */
struct xfer_peer;
struct xfer_call {
	/* Frames before the last one (DATA, ENTRIES, DONE); NULL: not wanted. */
	void	(*frame)(struct xfer_call *c, const struct wire_hdr *h, struct xfer_buf *body);
	/* Once: the last frame (body may be empty) or a transport error (h NULL). */
	void	(*done)(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *body);
	u64	deadline_ns;	/* absolute, io_now(); 0: the peer's call_timeout_ns without any frame */
	struct wire_out req;	/* the request's fields */
	/* private */
	struct list link;
	struct xfer_peer *peer;
	void	*conn;		/* what it was sent on; NULL while it waits */
	u16	type;
	u32	stream;
	int	err;
	u64	last_ns;
};
struct xfer_peer_cfg {
	const char	*addr;		/* HOST:PORT or [V6]:PORT or HOST; copied */
	const char	*volume;	/* HELLO */
	const char	*peer_id;
	enum wire_role	role;
	u8		client_id[16];
	/* HELLO answer arrived (also after a re-dial): body valid during the call. -errno refuses.
	 * Calls made here are sent after it returned. */
	int		(*hello)(void *ctx, struct xfer_peer *p, struct wire_in body);
	void		(*push)(void *ctx, struct xfer_peer *p, const struct wire_hdr *h, struct wire_in body);	/* stream 0 */
	void		(*down)(void *ctx, struct xfer_peer *p, int err);
	/* The peer answered HELLO with an error: it will say so again. May be NULL. */
	void		(*refused)(void *ctx, struct xfer_peer *p, int status);
	/* A dial has ended without a connection (after refused(), if that is why). May be NULL. */
	void		(*failed)(void *ctx, struct xfer_peer *p, int err);
	void		*ctx;
	u64		features;		/* WIRE_F_* offered; 0: XFER_FEATURES */
	u64		connect_timeout_ns;	/* of one dial with its HELLO; 0: 5 s */
	u64		call_timeout_ns;	/* 0: 30 s */
	/* Asked something and silent for so long, it gets a PING; four times that more, and the connection
	 * is given up: its calls end with -ETIMEDOUT. 0: 1 s */
	u64		quiet_ns;
};
/* WIRE_F_SUM is not among them: TCP and TLS have checks of their own, and XXH3 of every body
 * costs about a tenth of the throughput at full speed (tests/bench/xfer_bench). */
#define XFER_FEATURES	(WIRE_F_LEASE | WIRE_F_BATCH)
struct xfer_peer *xfer_peer_new(struct io *io, const struct xfer_peer_cfg *cfg);
/* GOODBYE, closes; done(-ECANCELED) of its calls comes in the next steps, no other callback. */
void xfer_peer_free(struct xfer_peer *p);
/* Dials, if it is neither up nor being dialled nor backing off: nobody has to ask it something for that. */
void xfer_peer_connect(struct xfer_peer *p);
/*
 * Takes over c->req (start with wire_out_init and fill).  Never completes before it returns.
 * Dials if need be; while the last dial's failure is fresh (back-off of 0.1 to 2 s) the call
 * fails at once with what it ended with.  Other failures: -EHOSTUNREACH, -ETIMEDOUT,
 * -ECONNRESET, -EPROTO, or what the peer answered to HELLO.
 */
void xfer_call(struct xfer_peer *p, struct xfer_call *c, u16 type);
/* done(-ECANCELED) follows in a later step, unless done was called already (then: nothing). */
void xfer_call_cancel(struct xfer_call *c);
struct xfer_stats {
	u64	rx_bytes, tx_bytes, rx_frames, tx_frames, calls, errors, dials, rtt_ns;
	/* of a peer; neither: not up, and nobody dials it now */
	bool	up, dialling;
	int	err;	/* why it is not up: how the last dial or connection ended; 0: up, or no dial has ended yet */
};
void xfer_peer_stats(const struct xfer_peer *p, struct xfer_stats *st);
const char *xfer_peer_addr(const struct xfer_peer *p);
u64 xfer_peer_features(const struct xfer_peer *p);	/* agreed with the peer; 0 while down */
void *xfer_peer_ctx(const struct xfer_peer *p);

/* ---- server ---- */
struct xfer_server;
#define XFER_STREAMS	1024
#define XFER_TX_HIGH	(8 * 1024 * 1024)
struct xfer_server_ops {
	/* HELLO of a client: answer fields into @out (PROTO and FEATURES are put by the engine);
	 * -errno refuses (the peer is told). */
	int	(*hello)(void *ctx, struct xfer_conn *c, struct wire_in body, struct wire_out *out);
	/* One request.  Answer with xfer_reply*() on the same stream, now or later; exactly one
	 * frame of the answer has WIRE_LAST.  PING is answered by the engine.  A connection with
	 * XFER_STREAMS requests open, or XFER_TX_HIGH bytes of answers unsent, is not read. */
	void	(*request)(void *ctx, struct xfer_conn *c, const struct wire_hdr *h, struct wire_in body);
	/* The connection is gone: drop what is kept for it. */
	void	(*gone)(void *ctx, struct xfer_conn *c);
};
struct xfer_server *xfer_server_new(struct io *io, const char *addr, const struct xfer_server_ops *ops, void *ctx, int *err);
/* GOODBYE to all, closes; gone() is called for each before it returns. */
void xfer_server_free(struct xfer_server *s);
void xfer_server_features(struct xfer_server *s, u64 features);	/* default XFER_FEATURES */
/* The port it listens on (addr may ask for 0). */
u16 xfer_server_port(const struct xfer_server *s);
/* Connections outlive their socket while somebody holds a reference; replies to a dead one are dropped. */
void xfer_conn_get(struct xfer_conn *c);
void xfer_conn_put(struct xfer_conn *c);
bool xfer_conn_alive(const struct xfer_conn *c);
void xfer_conn_set(struct xfer_conn *c, void *user);	/* one pointer for the handler's state */
void *xfer_conn_user(const struct xfer_conn *c);
const char *xfer_conn_peer(const struct xfer_conn *c);	/* printable address */
u64 xfer_conn_features(const struct xfer_conn *c);
/* Bytes of answers not yet sent: who streams a long answer waits while this is large. */
u64 xfer_conn_backlog(const struct xfer_conn *c);
/*
 * Takes over w's buffer (NULL: no body).  flags: WIRE_LAST, ... (WIRE_REPLY is added).  With
 * WIRE_DATA the buffer is raw bytes: a small file that a worker has read whole goes out so.
 * Frames of one stream keep their order.
 */
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
	bool	may_hang;	/* fd is on a network filesystem: it is read on the ORIGIN pool, so that a
				 * dead server takes those threads and not the ring's */
	/* private */
	struct list link;
	struct xfer_conn *conn;
	u32	stream;
	u16	type;
	u64	next, end, sent;	/* next byte to read, end of the range or of the file, bytes sent */
	unsigned int slots;		/* in flight */
	int	err;
};
void xfer_reply_file(struct xfer_conn *c, u32 stream, u16 type, struct xfer_file *f);
void xfer_server_stats(const struct xfer_server *s, struct xfer_stats *st);

#endif

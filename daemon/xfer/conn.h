/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conn.h - one framed connection, the same for both sides.  Private to xfer/.  Loop thread.
 *
 *	 socket --> rx: stage / body --> ops->frame()          (conn.c)
 *	 socket <-- tx <-- small frames, first                 (send.c)
 *	               <-- large frames, files, in turn        (file.c fills two slots)
 *
 * Lifetime: one reference is the owner's (client link or server), each operation in flight
 * and each received buffer hold one.  conn_fail() closes the socket at once; what has to be
 * told to others (ops->down, ends of files) is told from the kick, in a later step, so no
 * function of the engine calls back into its caller.
 */
#ifndef AUGUR_XFER_CONN_H
#define AUGUR_XFER_CONN_H

#include "xfer/xfer.h"

#define STAGE_SIZE	(16 * 1024)
#define TX_STAGE_SIZE	(32 * 1024)
#define SMALL_BODY	4096
#define TX_LOW		(XFER_TX_HIGH / 2)
#define SLOTS		2		/* hot in the cache; more were slower */
#define SLOT_HEAD	4096		/* the header sits at its end, so that data is page aligned */

struct conn_ops {
	/* A frame, its body referenced by the engine. -errno: the connection fails with it. */
	int	(*frame)(struct xfer_conn *c, const struct wire_hdr *h, struct xfer_buf *body);
	/* Once, after the socket has gone. */
	void	(*down)(struct xfer_conn *c, int err);
};

struct tx_frame {
	struct tx_frame	*next;
	struct wire_hdr	h;
	u8		*body;		/* owned */
};
struct tx_queue { struct tx_frame *head, **tail; };

enum slot_state { SLOT_FREE, SLOT_READING, SLOT_READY, SLOT_SENDING };

struct slot {
	struct xfer_conn *conn;
	enum slot_state	state;
	struct io_op	op;
	u8		*buf;		/* SLOT_HEAD + WIRE_DATA_MAX, from the pool */
	struct xfer_file *file;
	u64		off, seq;
	u32		want, got;
};

struct xfer_conn {
	struct io	*io;
	const struct conn_ops *ops;
	void		*owner;		/* client link or server */
	void		*user;		/* handler's */
	struct list	link;		/* owner's */
	int		fd;
	unsigned int	refs;
	bool		server, dead, down_told, closing;
	int		err;
	char		peer[64];
	u64		features;
	struct xfer_stats *stats;
	struct io_op	kick;

	/* receiving */
	struct io_op	rx;
	u8		*stage;		/* STAGE_SIZE */
	size_t		stage_pos, stage_len;
	u32		body_limit;
	struct wire_hdr	hdr;		/* of the body under way */
	struct xfer_buf	*body;		/* NULL: a header is next */
	size_t		body_got;
	u64		kept_bytes;	/* in buffers not yet given back */
	u64		last_rx_ns;
	bool		rx_stalled;	/* paused, to be taken up by the kick */

	/* sending */
	struct io_op	tx;
	struct tx_queue	small, large;
	u8		*tx_stage;	/* TX_STAGE_SIZE */
	struct tx_frame	*tx_large;	/* being sent */
	struct slot	*tx_slot;	/* being sent */
	bool		slot_turn;
	u64		tx_bytes;	/* of frames queued and not yet sent; slots are bounded as they are */
	u64		tx_framed;	/* of them in the send under way */
	u64		tx_since_ns;	/* start of the send under way; 0: none */

	/* files */
	struct slot	slots[SLOTS];
	struct list	files_small, files_bulk, files_tail;	/* to read; all read, not all sent */
	unsigned int	turn;
	u64		slot_seq;

	/* server */
	bool		hello_done;
	unsigned int	streams;	/* open requests */
	u32		last_stream;
	u64		born_ns, linger_ns;
};

/* conn.c; @fd is taken over */
struct xfer_conn *conn_new(struct io *io, int fd, const struct conn_ops *ops, void *owner, struct xfer_stats *stats);
void conn_start(struct xfer_conn *c);
void conn_fail(struct xfer_conn *c, int err);
void conn_kick(struct xfer_conn *c);
/* Starts receiving again if nothing holds it back any more. */
void conn_rx_resume(struct xfer_conn *c);
void conn_buf_freed(struct xfer_conn *c, struct xfer_buf *b);

/* send.c */
/* Takes over @body. */
void conn_send(struct xfer_conn *c, const struct wire_hdr *h, u8 *body);
void conn_tx_start(struct xfer_conn *c);
void conn_tx_done(struct io_op *op, int res);
void conn_tx_drop(struct xfer_conn *c);
bool conn_tx_idle(const struct xfer_conn *c);
/* Best effort, at once, past the queue if it is empty. */
void conn_goodbye(struct xfer_conn *c);

/* file.c */
void files_init(struct xfer_conn *c);
/* The slot whose turn it is to be sent, with its header in place; NULL: none is ready. */
struct slot *files_ready(struct xfer_conn *c);
void files_sent(struct slot *s);
void files_fill(struct xfer_conn *c);
/* Ends files of which there was nothing to send. */
void files_settle(struct xfer_conn *c);
/* The connection has gone: ends the files that have no read in flight. */
void files_fail(struct xfer_conn *c);
void files_free(struct xfer_conn *c);

/* sock.c: options of a stream socket; harmless on one that is not TCP */
void sock_tune(int fd);
void sock_name(int fd, bool peer, char *buf, size_t cap);
u64 sock_rtt_ns(int fd);
/* Since the last data came; UINT64_MAX: not known. */
u64 sock_quiet_ns(int fd);

/* buf.c */
struct xfer_buf *buf_new(struct xfer_conn *owner, size_t len);
u8 *pool_page_buf(void);		/* SLOT_HEAD + WIRE_DATA_MAX + slack, page aligned */
void pool_page_put(u8 *p);
/* Gives the pooled memory of this thread back to the system. */
void xfer_pool_drain(void);

/* What the engine itself reads of a HELLO, question or answer; 0 for a field that is not there. */
int conn_read_hello(struct wire_in in, u32 *proto, u64 *features);

#endif

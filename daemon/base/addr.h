/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * addr.h - HOST:PORT in words, in numbers, and from one to the other off the loop thread.
 */
#ifndef AUGUR_BASE_ADDR_H
#define AUGUR_BASE_ADDR_H

#include "base/io.h"

#define ADDR_LIST_MAX	8
#define ADDR_STR_LEN	64

struct addr_text { char host[256]; char port[6]; };
struct addr { struct sockaddr_storage ss; socklen_t len; };

/*
 * HOST, HOST:PORT, [V6], [V6]:PORT or a bare V6 address; "" and "*" mean every address.
 * 0, or -EINVAL (empty port, not 1..65535, unbalanced bracket, too long).
 */
int addr_parse(const char *s, u16 default_port, struct addr_text *out);

/*
 * Addresses of @t, at most ADDR_LIST_MAX into @list; @passive for listening.  Blocks on the
 * resolver unless @numeric.  The number, or -ENOENT (no such name; numeric: not an address),
 * -EAGAIN (the resolver does not answer).
 */
int addr_resolve(const struct addr_text *t, bool passive, bool numeric, struct addr *list);

/* The same on the MISC pool; done comes in a later step.  The object stays until then. */
struct addr_lookup {
	void	(*done)(struct addr_lookup *l, int res);	/* number in list, or -errno */
	struct addr_text text;
	struct addr list[ADDR_LIST_MAX];
	struct io_op op;
};
void addr_lookup_start(struct io *io, struct addr_lookup *l);

/* "192.0.2.1:7433", "[2001:db8::1]:7433", "local" for another family. Returns buf. */
const char *addr_str(const struct sockaddr *sa, char buf[ADDR_STR_LEN]);

#endif

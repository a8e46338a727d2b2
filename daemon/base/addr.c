// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * addr.c - addresses: parsing, printing, and resolution on the MISC pool, since getaddrinfo()
 * may block for as long as the resolver likes.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/mem.h"

/* Copies the n bytes of a host; the empty one and "*" stand for every address. */
static int set_host(struct addr_text *out, const char *s, size_t n)
{
	if (n >= sizeof(out->host))
		return -EINVAL;
	if (n == 1 && *s == '*')
		n = 0;
	memcpy(out->host, s, n);
	out->host[n] = 0;
	return 0;
}

static int set_port(struct addr_text *out, const char *s)
{
	unsigned int v = 0;
	size_t n;

	for (n = 0; s[n] >= '0' && s[n] <= '9' && n < 6; n++)
		v = v * 10 + (s[n] - '0');
	if (!n || s[n] || !v || v > 65535)
		return -EINVAL;
	snprintf(out->port, sizeof(out->port), "%u", v);
	return 0;
}

int addr_parse(const char *s, u16 default_port, struct addr_text *out)
{
	const char *close, *colon;

	snprintf(out->port, sizeof(out->port), "%u", default_port);
	if (*s == '[') {
		close = strchr(s, ']');
		if (!close || close == s + 1 || set_host(out, s + 1, close - s - 1))
			return -EINVAL;
		if (!close[1])
			return 0;
		return close[1] == ':' ? set_port(out, close + 2) : -EINVAL;
	}
	colon = strchr(s, ':');
	if (!colon || strchr(colon + 1, ':'))	/* no port, or a bare V6 address */
		return set_host(out, s, strlen(s));
	if (set_host(out, s, colon - s))
		return -EINVAL;
	return set_port(out, colon + 1);
}

int addr_resolve(const struct addr_text *t, bool passive, bool numeric, struct addr *list)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0) | (numeric ? AI_NUMERICHOST : 0),
	};
	struct addrinfo *all, *a;
	int err, n = 0;

	err = getaddrinfo(*t->host ? t->host : NULL, t->port, &hints, &all);
	if (err == EAI_AGAIN)
		return -EAGAIN;
	if (err)
		return err == EAI_MEMORY ? -ENOMEM : -ENOENT;
	for (a = all; a && n < ADDR_LIST_MAX; a = a->ai_next) {
		if (a->ai_addrlen > sizeof(list[n].ss))
			continue;
		memcpy(&list[n].ss, a->ai_addr, a->ai_addrlen);
		list[n++].len = a->ai_addrlen;
	}
	freeaddrinfo(all);
	return n ? n : -ENOENT;
}

static int lookup_job(void *arg)
{
	struct addr_lookup *l = arg;

	return addr_resolve(&l->text, false, false, l->list);
}

static void lookup_done(struct io_op *op, int res)
{
	struct addr_lookup *l = container_of(op, struct addr_lookup, op);

	l->done(l, res);
}

static void numeric_done(struct io_op *op, int res)
{
	struct addr_lookup *l = container_of(op, struct addr_lookup, op);

	if (!res)
		res = addr_resolve(&l->text, false, true, l->list);
	l->done(l, res);
}

void addr_lookup_start(struct io *io, struct addr_lookup *l)
{
	/* An address in numbers needs no worker, and must work while the resolver hangs. */
	if (addr_resolve(&l->text, false, true, l->list) > 0) {
		l->op.done = numeric_done;
		io->ops->timer(io, &l->op, 0);
		return;
	}
	l->op.done = lookup_done;
	io->ops->work(io, &l->op, IO_POOL_MISC, lookup_job, l);
}

const char *addr_str(const struct sockaddr *sa, char buf[ADDR_STR_LEN])
{
	const struct sockaddr_in6 *six = (const void *)sa;
	const struct sockaddr_in *four = (const void *)sa;
	char host[INET6_ADDRSTRLEN];

	if (sa->sa_family == AF_INET && inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host)))
		snprintf(buf, ADDR_STR_LEN, "%s:%u", host, ntohs(four->sin_port));
	else if (sa->sa_family == AF_INET6 && inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host)))
		snprintf(buf, ADDR_STR_LEN, "[%s]:%u", host, ntohs(six->sin6_port));
	else
		snprintf(buf, ADDR_STR_LEN, "local");
	return buf;
}

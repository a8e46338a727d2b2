// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sock.c - options of a stream socket.  A descriptor from the gate may be no TCP socket; every
 * option may fail without harm.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "xfer/conn.h"

#define BUF_BYTES	(12 * 1024 * 1024)	/* 40 ms x 1 Gbit/s is 5 MB; half of a buffer is book-keeping */
#define WINDOW_BYTES	(8 * 1024 * 1024)
#define NOTSENT_BYTES	(512 * 1024)
#define KEEP_IDLE_SEC	10
#define KEEP_INTVL_SEC	5
#define KEEP_COUNT	4
#define USER_TIMEOUT_MS	60000

static void set_int(int fd, int level, int opt, int v)
{
	setsockopt(fd, level, opt, &v, sizeof(v));
}

/* True also for what is no internet socket: both ends are on this machine. */
static bool is_local(int fd)
{
	struct sockaddr_storage ss = { 0 };
	const struct sockaddr_in6 *six = (void *)&ss;
	const struct sockaddr_in *four = (void *)&ss;
	socklen_t len = sizeof(ss);

	if (getpeername(fd, (struct sockaddr *)&ss, &len))
		return true;
	if (ss.ss_family == AF_INET)
		return ntohl(four->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	if (ss.ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) ||
		       (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && six->sin6_addr.s6_addr[12] == IN_LOOPBACKNET);
	return true;
}

/*
 * A long link wants more in flight than the kernel's own tuning allows (FORCE needs
 * CAP_NET_ADMIN; without it that tuning is better than the plain option, which wmem_max
 * caps), and what is not yet sent held short, or a small frame would queue behind megabytes.
 * On loopback both cost a fifth of the throughput and there is nothing to gain.
 */
static void tune_link(int fd)
{
	set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUF_BYTES);
	set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_BYTES);
	/* A buffer that was set is no longer tuned, and neither is the window over it. */
	if (!setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){ BUF_BYTES }, sizeof(int)))
		set_int(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, WINDOW_BYTES);
}

void sock_tune(int fd)
{
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_SEC);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTVL_SEC);
	set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT);
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
	if (!is_local(fd))
		tune_link(fd);
}

void sock_name(int fd, bool peer, char *buf, size_t cap)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	char text[ADDR_STR_LEN];

	if (peer ? getpeername(fd, (struct sockaddr *)&ss, &len) : getsockname(fd, (struct sockaddr *)&ss, &len))
		ss.ss_family = AF_UNSPEC;
	snprintf(buf, cap, "%s", addr_str((struct sockaddr *)&ss, text));
}

u64 sock_rtt_ns(int fd)
{
	struct tcp_info ti = { 0 };
	socklen_t len = sizeof(ti);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len))
		return 0;
	return (u64)ti.tcpi_rtt * 1000;
}

u64 sock_quiet_ns(int fd)
{
	struct tcp_info ti = { 0 };
	socklen_t len = sizeof(ti);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len))
		return UINT64_MAX;
	return (u64)ti.tcpi_last_data_recv * 1000000;
}

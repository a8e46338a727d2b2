// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * doctor_net.c - can the proxies of a source be dialled from here?
 *
 * A connection is opened and closed, nothing is said on it.  This is this process's view of
 * the network; augurd may run in another network namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include "doctor.h"

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1000 + (double)ts.tv_nsec / 1e6;
}

static int dial_one(const struct addrinfo *ai)
{
	CLEANUP_CLOSE int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int err = 0, n;

	if (fd < 0)
		return -errno;
	if (!connect(fd, ai->ai_addr, ai->ai_addrlen))
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	n = poll(&pfd, 1, CHECK_DIAL_MS);
	if (n <= 0)
		return n ? -errno : -ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) ? -errno : -err;
}

static void check_proxy(struct checkup *c, const char *host, const char *port)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list, *ai;
	double start = now_ms();
	int err = getaddrinfo(host, port, &hints, &list);

	if (err) {
		check_add(c, CHECK_FAIL, "proxy", "check the name in the source of the mount", "%s: %s", host, gai_strerror(err));
		return;
	}
	err = -EHOSTUNREACH;
	for (ai = list; ai && err; ai = ai->ai_next)
		err = dial_one(ai);
	freeaddrinfo(list);
	if (err)
		check_add(c, CHECK_FAIL, "proxy", "check that augurd --role proxy runs there and no firewall is between",
			  "%s port %s: %s", host, port, strerror(-err));
	else
		check_add(c, CHECK_OK, "proxy", "", "%s port %s answers, connected in %.1f ms", host, port, now_ms() - start);
}

/* HOST, HOST:PORT, [V6], [V6]:PORT; @p is ours to cut. */
static void split_proxy(char *p, const char **host, const char **port)
{
	char *sep = strrchr(p, ':');

	*port = CTL_PROXY_PORT;
	*host = p;
	if (*p == '[') {
		char *end = strchr(p, ']');

		*host = p + 1;
		if (end) {
			*end = '\0';
			sep = end[1] == ':' ? end + 1 : NULL;
		}
	}
	if (sep) {
		*sep = '\0';
		*port = sep + 1;
	}
}

void check_source(struct checkup *c, const char *source)
{
	CLEANUP_FREE char *copy = xstrdup(source);
	char *sep = strstr(copy, ":/"), *p, *save = NULL;

	if (!sep) {
		check_add(c, CHECK_FAIL, "source", "example: proxy1,proxy2:/home", "%s is not PROXY[,PROXY...]:/VOLUME", source);
		return;
	}
	*sep = '\0';
	for (p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		const char *host, *port;

		split_proxy(p, &host, &port);
		check_proxy(c, host, port);
	}
}

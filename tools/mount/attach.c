// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * attach.c - asks augurd, over its control socket, to prepare the cache directory.
 *
 * Everything that can be wrong with a mount is said by augurd here, before the kernel is
 * asked.  The wait has one deadline for all its parts and ends at any signal that kills.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "helper.h"
#include "json1.h"

#define ANSWER_MAX	65536
#define RETRY_MS	200
#define GRACE_MS	2000	/* augurd has the deadline too, and says what it waited for */

unsigned long long clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (unsigned long long)ts.tv_sec * 1000 + (unsigned long long)ts.tv_nsec / 1000000;
}

static int dial(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* Not there yet, or its queue is full: worth another try. */
static bool is_transient(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED || err == -EAGAIN || err == -EINTR;
}

static int dial_until(struct request *rq, unsigned long long deadline)
{
	const struct timespec pause = { 0, RETRY_MS * 1000000L };
	bool told = false;
	int fd;

	for (;;) {
		fd = dial(rq->ctl);
		if (fd >= 0 || !is_transient(fd) || clock_ms() + RETRY_MS > deadline)
			return fd;
		if (!told && rq->verbose)
			say(NULL, "waiting for augurd at %s", rq->ctl);
		told = true;
		nanosleep(&pause, NULL);
	}
}

static int send_all(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int wait_readable(int fd, unsigned long long deadline)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	unsigned long long now = clock_ms();
	int n;

	if (now >= deadline)
		return -ETIMEDOUT;
	n = poll(&pfd, 1, (int)(deadline - now));
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n ? 0 : -ETIMEDOUT;
}

/* Reads until the first whole line that carries "ok"; progress lines before it are dropped. */
static int answer_read(int fd, char *buf, size_t *line_len, unsigned long long deadline)
{
	size_t have = 0;
	char *nl;
	ssize_t n;
	int err;

	for (;;) {
		while ((nl = memchr(buf, '\n', have))) {
			*line_len = (size_t)(nl - buf);
			if (json1_check(buf, *line_len))
				return -EBADMSG;
			if (json1_get(buf, *line_len, "ok", NULL, 0) != JSON1_ABSENT)
				return 0;
			have -= *line_len + 1;
			memmove(buf, nl + 1, have);
		}
		if (have == ANSWER_MAX)
			return -EMSGSIZE;
		err = wait_readable(fd, deadline);
		if (err)
			return err;
		n = recv(fd, buf + have, ANSWER_MAX - have, MSG_DONTWAIT);
		if (n == 0)
			return -EBADMSG;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		have += n > 0 ? (size_t)n : 0;
	}
}

static int request_make(const struct request *rq, char *buf, size_t cap, unsigned long long deadline)
{
	unsigned long long now = clock_ms();
	char source[4096], cache[8192];
	int n;

	if (json1_quote(rq->source, source, sizeof(source)) < 0 ||
	    json1_quote(rq->cache, cache, sizeof(cache)) < 0)
		return -ENOSPC;
	n = snprintf(buf, cap, "{\"verb\":\"attach\",\"source\":%s,\"cache\":%s,\"timeout_ms\":%llu}\n",
		     source, cache, deadline > now ? deadline - now : 1);
	return n < 0 || (size_t)n >= cap ? -ENOSPC : n;
}

static int answer_judge(struct request *rq, const char *line, size_t len)
{
	static char cache[4096];
	char message[1024] = "", hint[1024] = "", code[64] = "";

	if (json1_get(line, len, "ok", NULL, 0) == JSON1_TRUE) {
		if (json1_get(line, len, "cache", cache, sizeof(cache)) == JSON1_STRING && cache[0] == '/')
			rq->cache = cache;
		if (json1_get(line, len, "source", message, sizeof(message)) == JSON1_STRING && strcmp(message, rq->source))
			say("to use the other ones: systemctl restart augurd",
			    "augurd knows this cache already, by %s, and goes on with those proxies", message);
		return 0;
	}
	json1_get(line, len, "message", message, sizeof(message));
	json1_get(line, len, "hint", hint, sizeof(hint));
	json1_get(line, len, "error", code, sizeof(code));
	say(hint[0] ? hint : "see the daemon's log: journalctl -u augurd",
	    "%s (%s)", message[0] ? message : "augurd refused the mount and did not say why",
	    code[0] ? code : "no code");
	return EX_FAIL;
}

static int talk(struct request *rq, int fd, unsigned long long deadline)
{
	static char buf[ANSWER_MAX];
	size_t len = 0;
	int n = request_make(rq, buf, sizeof(buf), deadline);

	if (n < 0) {
		say(NULL, "source or cache path is too long");
		return EX_USAGE_;
	}
	n = send_all(fd, buf, (size_t)n);
	if (!n)
		n = answer_read(fd, buf, &len, deadline + GRACE_MS);
	if (!n)
		return answer_judge(rq, buf, len);
	if (n == -ETIMEDOUT)
		say("see what it waits for: augur doctor; or raise timeout_ms=",
		    "augurd did not answer within %u ms", rq->timeout_ms);
	else if (n == -EBADMSG || n == -EMSGSIZE)
		say("install the same version of augurd and mount.augurfs, then see its log",
		    "the answer of augurd at %s is cut short or not understood", rq->ctl);
	else
		say("see the daemon's log: journalctl -u augurd", "talking to augurd at %s: %s",
		    rq->ctl, strerror(-n));
	return EX_FAIL;
}

int attach(struct request *rq, unsigned long long deadline)
{
	int fd = dial_until(rq, deadline), ret;

	if (fd == -EACCES || fd == -EPERM) {
		say("run it as root", "may not talk to augurd at %s", rq->ctl);
		return EX_USAGE_;
	}
	if (fd < 0) {
		say("start it: systemctl start augurd; with another socket give ctl=PATH",
		    "augurd does not answer at %s: %s", rq->ctl, strerror(-fd));
		return EX_FAIL;
	}
	ret = talk(rq, fd, deadline);
	close(fd);
	return ret;
}

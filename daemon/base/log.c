// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log.c - one event per line on stderr, with the <N> prefix where the journal reads it.
 *
 * A line is built in one buffer and written with one write(), so lines of several threads
 * never mix.  Control bytes inside a line become '?', so no text can forge a second line.
 * Any thread.
 */
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define LINE_MAX_BYTES	2048
#define ESC_BYTES	512

enum log_level log_level = LOG_L_INFO;

static char log_name[64] = "augurd";
static bool to_journal;

/* The journal names its own stream by device and inode: compare them with our stderr. */
static bool stderr_is_journal(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (!s || sscanf(s, "%llu:%llu", &dev, &ino) != 2 || fstat(STDERR_FILENO, &st))
		return false;
	return st.st_dev == dev && st.st_ino == ino;
}

void log_open(const char *name, enum log_level level)
{
	snprintf(log_name, sizeof(log_name), "%s", name);
	log_level = level;
	to_journal = stderr_is_journal();
}

static size_t put_prefix(char *line, size_t cap, enum log_level level)
{
	static const char *const word[] = {
		[LOG_L_ERR] = "error", [LOG_L_WARN] = "warning", [LOG_L_NOTICE] = "notice",
		[LOG_L_INFO] = "info", [LOG_L_DEBUG] = "debug",
	};
	struct timespec ts;
	struct tm tm;
	char when[32];
	int n;

	if (to_journal) {
		n = snprintf(line, cap, "<%d>%s: ", level, log_name);
		return n;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(line, cap, "%s.%03ldZ %s: %s: ", when, ts.tv_nsec / 1000000, log_name,
		     level >= LOG_L_ERR && level <= LOG_L_DEBUG ? word[level] : "log");
	return n;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	size_t head, len, i;
	int saved = errno, n;
	va_list ap;

	if (level > log_level)
		return;
	head = put_prefix(line, sizeof(line), level);
	errno = saved;		/* for %m */
	va_start(ap, fmt);
	n = vsnprintf(line + head, sizeof(line) - head - 1, fmt, ap);
	va_end(ap);
	len = n < 0 ? head : min(head + (size_t)n, sizeof(line) - 2);
	while (len > head && line[len - 1] == '\n')
		len--;
	for (i = head; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	n = write(STDERR_FILENO, line, len);	/* no place is left to report its failure */
	(void)n;
	errno = saved;
}

const char *log_esc(const void *buf, size_t len)
{
	static __thread char bufs[4][ESC_BYTES];
	static __thread unsigned int turn;
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p = buf;
	char *out = bufs[turn++ % 4];
	size_t o = 0, i;

	for (i = 0; i < len && o + 8 < ESC_BYTES; i++) {
		if (p[i] > 0x20 && p[i] < 0x7f && p[i] != '\\' && p[i] != '"') {
			out[o++] = p[i];
			continue;
		}
		out[o++] = '\\';
		out[o++] = 'x';
		out[o++] = hex[p[i] >> 4];
		out[o++] = hex[p[i] & 15];
	}
	if (i < len) {
		memcpy(out + o, "...", 3);
		o += 3;
	}
	out[o] = 0;
	return out;
}

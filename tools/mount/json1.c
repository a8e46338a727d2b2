// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * json1.c - a checking JSON reader for one line; see json1.h.
 *
 * A recursive descent over the text with a bounded depth.  Nothing is allocated: a value is
 * found by walking the object again, which is cheap for answers of a few hundred bytes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "json1.h"

#define DEPTH_MAX 16

struct cur {
	const char *p, *end;
};

static void skip_space(struct cur *c)
{
	while (c->p < c->end && strchr(" \t\r\n", *c->p) && *c->p)
		c->p++;
}

static bool take(struct cur *c, char ch)
{
	skip_space(c);
	if (c->p >= c->end || *c->p != ch)
		return false;
	c->p++;
	return true;
}

static bool take_word(struct cur *c, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n))
		return false;
	c->p += n;
	return true;
}

static int hex4(struct cur *c, unsigned int *val)
{
	int i;

	*val = 0;
	for (i = 0; i < 4; i++) {
		const char *digits = "0123456789abcdef";
		const char *d;

		if (c->p >= c->end || !*c->p)
			return -EBADMSG;
		d = strchr(digits, *c->p | (*c->p >= 'A' ? 0x20 : 0));
		if (!d)
			return -EBADMSG;
		*val = *val << 4 | (unsigned int)(d - digits);
		c->p++;
	}
	return 0;
}

struct sink {
	char *out;
	size_t cap, len;
};

static void sink_put(struct sink *s, unsigned char b)
{
	if (b < 0x20 || b == 0x7f)
		b = '?';
	if (s && s->len + 1 < s->cap)
		s->out[s->len++] = (char)b;
}

/* Basic plane only; a surrogate becomes '?': such text is shown, never acted upon. */
static void sink_utf8(struct sink *s, unsigned int u)
{
	if (u >= 0xd800 && u <= 0xdfff) {
		sink_put(s, '?');
	} else if (u < 0x80) {
		sink_put(s, (unsigned char)u);
	} else if (u < 0x800) {
		sink_put(s, (unsigned char)(0xc0 | u >> 6));
		sink_put(s, (unsigned char)(0x80 | (u & 0x3f)));
	} else {
		sink_put(s, (unsigned char)(0xe0 | u >> 12));
		sink_put(s, (unsigned char)(0x80 | (u >> 6 & 0x3f)));
		sink_put(s, (unsigned char)(0x80 | (u & 0x3f)));
	}
}

static int escape(struct cur *c, struct sink *s)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *hit;
	unsigned int u;

	if (c->p >= c->end || !*c->p)
		return -EBADMSG;
	if (*c->p == 'u') {
		c->p++;
		if (hex4(c, &u))
			return -EBADMSG;
		sink_utf8(s, u);
		return 0;
	}
	hit = strchr(from, *c->p++);
	if (!hit)
		return -EBADMSG;
	sink_put(s, (unsigned char)to[hit - from]);
	return 0;
}

static int string(struct cur *c, struct sink *s)
{
	if (!take(c, '"'))
		return -EBADMSG;
	while (c->p < c->end) {
		unsigned char ch = (unsigned char)*c->p++;

		if (ch == '"') {
			if (s)
				s->out[s->len] = '\0';
			return 0;
		}
		if (ch < 0x20)
			return -EBADMSG;
		if (ch != '\\')
			sink_put(s, ch);
		else if (escape(c, s))
			return -EBADMSG;
	}
	return -EBADMSG;
}

static int number(struct cur *c, struct sink *s)
{
	const char *start = c->p;

	while (c->p < c->end && *c->p && strchr("+-.0123456789eE", *c->p))
		sink_put(s, (unsigned char)*c->p++);
	if (s)
		s->out[s->len] = '\0';
	return c->p > start ? 0 : -EBADMSG;
}

static int value(struct cur *c, struct sink *s, enum json1_kind *kind, int depth);

static int list(struct cur *c, bool object, int depth)
{
	char close = object ? '}' : ']';

	if (take(c, close))
		return 0;
	do {
		if (object && (string(c, NULL) || !take(c, ':')))
			return -EBADMSG;
		if (value(c, NULL, NULL, depth))
			return -EBADMSG;
	} while (take(c, ','));
	return take(c, close) ? 0 : -EBADMSG;
}

static int word(struct cur *c, struct sink *s, enum json1_kind *kind)
{
	*kind = JSON1_OTHER;
	if (take_word(c, "true"))
		*kind = JSON1_TRUE;
	else if (take_word(c, "false"))
		*kind = JSON1_FALSE;
	else if (!take_word(c, "null")) {
		*kind = JSON1_NUMBER;
		return number(c, s);
	}
	return 0;
}

static int value(struct cur *c, struct sink *s, enum json1_kind *kind, int depth)
{
	enum json1_kind dummy;

	if (!kind)
		kind = &dummy;
	if (depth <= 0)
		return -EBADMSG;
	skip_space(c);
	if (c->p >= c->end)
		return -EBADMSG;
	if (*c->p == '"') {
		*kind = JSON1_STRING;
		return string(c, s);
	}
	*kind = JSON1_OTHER;
	if (take(c, '{'))
		return list(c, true, depth - 1);
	if (take(c, '['))
		return list(c, false, depth - 1);
	return word(c, s, kind);
}

int json1_check(const char *line, size_t len)
{
	struct cur c = { line, line + len };

	skip_space(&c);
	if (c.p >= c.end || *c.p != '{' || value(&c, NULL, NULL, DEPTH_MAX))
		return -EBADMSG;
	skip_space(&c);
	return c.p == c.end ? 0 : -EBADMSG;
}

enum json1_kind json1_get(const char *line, size_t len, const char *key, char *out, size_t cap)
{
	struct cur c = { line, line + len };
	char name[64];

	if (!take(&c, '{') || take(&c, '}'))
		return JSON1_ABSENT;
	do {
		struct sink k = { name, sizeof(name), 0 }, v = { out, cap, 0 };
		enum json1_kind kind;

		if (string(&c, &k) || !take(&c, ':'))
			return JSON1_ABSENT;
		if (strcmp(name, key)) {
			if (value(&c, NULL, NULL, DEPTH_MAX))
				return JSON1_ABSENT;
			continue;
		}
		return value(&c, out ? &v : NULL, &kind, DEPTH_MAX) ? JSON1_ABSENT : kind;
	} while (take(&c, ','));
	return JSON1_ABSENT;
}

int json1_quote(const char *s, char *out, size_t cap)
{
	size_t n = 0;

	if (cap < 3)
		return -ENOSPC;
	out[n++] = '"';
	for (; *s; s++) {
		unsigned char ch = (unsigned char)*s;

		if (n + 8 > cap)
			return -ENOSPC;
		if (ch == '"' || ch == '\\')
			out[n++] = '\\', out[n++] = (char)ch;
		else if (ch < 0x20)
			n += (size_t)snprintf(out + n, cap - n, "\\u%04x", ch);
		else
			out[n++] = (char)ch;
	}
	out[n++] = '"';
	out[n] = '\0';
	return (int)n;
}

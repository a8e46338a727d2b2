// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * json_out.c - faults and JSON lines on the way out, and careful reads of JSON on the way in.
 *
 * With --json every verb prints JSON lines on stdout, the last of which has "schema" and
 * "ok"; nothing else goes to stdout then.
 */
#include <stdarg.h>
#include <string.h>
#include "augur.h"

static const struct {
	const char *name, *message, *hint;
} causes[] = {
#define X(n, msg, h) { #n, msg, h },
	CTL_ERRORS(X)
#undef X
};

void fault_set(struct fault *f, enum ctl_error code, int err, const char *fmt, ...)
{
	va_list ap;

	f->code = causes[code].name;
	f->err = err;
	va_start(ap, fmt);
	vsnprintf(f->message, sizeof(f->message), fmt, ap);
	va_end(ap);
	snprintf(f->hint, sizeof(f->hint), "%s", causes[code].hint);
}

int fault_rc(const struct fault *f)
{
	return f->code && !strcmp(f->code, causes[AUGUR_E_USAGE].name) ? RC_USAGE : RC_FAILED;
}

int fault_report(struct augur *a, int rc)
{
	struct fault *f = &a->fault;
	json_t *obj;

	if (a->verb && f->code && !strcmp(f->code, causes[AUGUR_E_USAGE].name))
		snprintf(f->hint, sizeof(f->hint), "augur %s --help", a->verb->name);
	if (!a->json) {
		fflush(stdout);
		fprintf(stderr, "augur%s%s: %s (%s)\n", a->verb ? " " : "", a->verb ? a->verb->name : "",
			f->message, f->code ? f->code : "no code");
		if (f->hint[0])
			fprintf(stderr, "  try: %s\n", f->hint);
		return rc;
	}
	obj = json_begin(a, false);
	json_object_set_new(obj, "error", json_string(f->code ? f->code : "AUGUR_E_INTERNAL"));
	json_object_set_new(obj, "errno", json_integer(f->err));
	json_object_set_new(obj, "message", json_string(printable(f->message)));
	json_object_set_new(obj, "hint", json_string(printable(f->hint)));
	json_line(obj);
	return rc;
}

json_t *json_begin(struct augur *a, bool ok)
{
	json_t *obj = json_object();
	char schema[64];

	snprintf(schema, sizeof(schema), "augur.%s/1", a->verb ? a->verb->name : "error");
	json_object_set_new(obj, "schema", json_string(schema));
	json_object_set_new(obj, "ok", json_boolean(ok));
	return obj;
}

void json_line(json_t *obj)
{
	json_dumpf(obj, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	putchar('\n');
	fflush(stdout);
	json_decref(obj);
}

const char *json_str(json_t *obj, const char *key, const char *def)
{
	json_t *v = json_object_get(obj, key);

	return json_is_string(v) ? json_string_value(v) : def;
}

long long json_int(json_t *obj, const char *key, long long def)
{
	json_t *v = json_object_get(obj, key);

	if (json_is_integer(v))
		return json_integer_value(v);
	if (json_is_real(v) && json_real_value(v) > -9e18 && json_real_value(v) < 9e18)
		return (long long)json_real_value(v);
	return def;
}

bool json_bool(json_t *obj, const char *key, bool def)
{
	json_t *v = json_object_get(obj, key);

	if (json_is_integer(v))
		return json_integer_value(v) != 0;
	return json_is_boolean(v) ? json_is_true(v) : def;
}

/* Length of a well-formed UTF-8 sequence at @s, or 0. */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 :
		   (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	size_t i;

	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if (n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0)))
		return 0;
	if (n == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90)))
		return 0;
	return n;
}

const char *printable(const char *str)
{
	static char bufs[8][8192];
	static unsigned int turn;
	char *buf = bufs[turn++ % ARRAY_SIZE(bufs)];
	const unsigned char *s = (const unsigned char *)str;
	size_t len = 0;

	while (*s && len + 4 < sizeof(bufs[0])) {
		size_t n = utf8_len(s);

		/* C1 controls (U+0080..U+009F) steer some terminals */
		if (!n || s[0] < 0x20 || s[0] == 0x7f || (n == 2 && s[0] == 0xc2 && s[1] < 0xa0)) {
			buf[len++] = '?';
			s += n ? n : 1;
			continue;
		}
		memcpy(buf + len, s, n);
		len += n;
		s += n;
	}
	buf[len] = '\0';
	return buf;
}

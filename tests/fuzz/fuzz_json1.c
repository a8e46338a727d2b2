// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the mount helper's JSON reader (tools/mount/json1.c) against jansson: what jansson takes
 * for an object, it takes; the members of it that the helper reads are the same; and whatever
 * it is given, what it hands out is short, terminated and fit for a terminal.
 *
 * Input: a line; also quoted as a string and read back.
 */
#include <assert.h>
#include <jansson.h>

#include "base/mem.h"
#include "tools/mount/json1.h"

#define DEPTH_MAX 16	/* json1.c's */

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static const char *const keys[] = { "ok", "error", "message", "hint", "id", "state", "" };

static int depth(const json_t *v)
{
	const char *key;
	json_t *e;
	size_t i;
	int d, most = 0;

	if (json_is_array(v))
		json_array_foreach(v, i, e)
			if ((d = depth(e)) > most)
				most = d;
	if (json_is_object(v))
		json_object_foreach((json_t *)v, key, e)
			if ((d = depth(e)) > most)
				most = d;
	return most + 1;
}

/* What the helper shows of @text: no control characters, nothing outside of the basic plane's escapes. */
static void tame(const char *text, char *out, size_t cap)
{
	size_t n = 0;

	for (; *text && n + 1 < cap; text++)
		out[n++] = (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text;
	out[n] = 0;
}

static void check_member(const json_t *obj, const char *line, size_t len, const char *key, size_t cap)
{
	json_t *want = obj ? json_object_get(obj, key) : NULL;
	char *out = xmalloc(cap), tamed[256];
	enum json1_kind kind;

	memset(out, 'x', cap);
	kind = json1_get(line, len, key, out, cap);
	if (kind == JSON1_STRING || kind == JSON1_NUMBER)
		for (const char *p = out; assert(p < out + cap), *p; p++)
			assert((unsigned char)*p >= 0x20 && *p != 0x7f);
	if (!want) {
		assert(!obj || kind == JSON1_ABSENT);
	} else if (json_is_string(want)) {
		assert(kind == JSON1_STRING);
		tame(json_string_value(want), tamed, cap);
		/* A character beyond the basic plane may have been two escapes, which become '?'. */
		assert(!strcmp(out, tamed) || memmem(line, len, "\\u", 2) || memmem(line, len, "\\U", 2));
	} else {
		assert(kind == (json_is_true(want) ? JSON1_TRUE : json_is_false(want) ? JSON1_FALSE :
				json_is_number(want) ? JSON1_NUMBER : JSON1_OTHER));
	}
	free(out);
}

static void check_line(const char *line, size_t len)
{
	/* To jansson a NUL behind a cut number is its end. */
	json_t *obj = memchr(line, 0, len) ? NULL : json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	bool good = !json1_check(line, len);

	if (obj && (!json_is_object(obj) || depth(obj) > DEPTH_MAX)) {
		json_decref(obj);
		obj = NULL;
	}
	assert(good || !obj);
	if (good)
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			check_member(obj, line, len, keys[i], 1 + i * 20);
	json_decref(obj);
}

/* A string that is quoted is read back as it was, by both readers. */
static void check_quote(const u8 *data, size_t size)
{
	char text[128], line[1024], back[128];
	size_t n = min(size, sizeof(text) - 1);
	json_t *obj;
	int len;

	memcpy(text, data, n);
	text[n] = 0;
	n = strlen(text);
	len = snprintf(line, sizeof(line), "{\"hint\":");
	len += json1_quote(text, line + len, sizeof(line) - len - 1);
	line[len++] = '}';
	assert(!json1_check(line, len) && json1_get(line, len, "hint", back, sizeof(back)) == JSON1_STRING);
	tame(text, line + len, sizeof(line) - len);
	assert(!strcmp(back, line + len));
	obj = json_loadb(line, len, 0, NULL);
	assert(obj || !json_stringn(text, n));		/* refused only for not being UTF-8 */
	if (obj)
		assert(!strcmp(json_string_value(json_object_get(obj, "hint")), text));
	json_decref(obj);
	for (size_t cap = 0; cap < 12; cap++)
		assert(json1_quote(text, back, cap) < (int)cap || !cap);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	char *line = xmemdup(data, size);	/* exact, so that the sanitizer sees a byte too far */

	check_line(line, size);
	free(line);
	check_quote(data, size);
	return 0;
}

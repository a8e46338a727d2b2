// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * states.c - every state that an object of the origin ever had, as the workload wrote them down.
 *
 *	U <uuid of the filesystem>
 *	f|l <type:handle> <ctime> <mtime> <size> <nlink> <key or target>	times: seconds.nanoseconds
 *	d <type:handle> <ctime> <mtime> <size> <nlink> <name>=<type:handle> ...	names and targets in hex
 *	P|N|K <type:handle> <number>	pinned; to be unpinned from here on; kept: pinned, whole, never edited
 *
 * The content of a file is SHAKE128 of its key, so the log names it and need not hold it.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "powercut.h"

static size_t unhex(const char *s, u8 *out, size_t cap)
{
	size_t n = 0;
	unsigned int b;

	while (n < cap && sscanf(s + 2 * n, "%2x", &b) == 1 && s[2 * n + 1])
		out[n++] = b;
	return n;
}

/* "type:handle": its bytes as they are hashed, first the type. */
static size_t handle_of(const char *text, u8 in[4 + 128])
{
	u32 type = cpu_to_le32((u32)strtol(text, NULL, 10));
	const char *hex = strchr(text, ':');

	if (!hex)
		return 0;
	memcpy(in, &type, 4);
	return 4 + unhex(hex + 1, in + 4, 128);
}

int states_oid(const u8 volume_id[16], const u8 uuid[16], const char *text, u8 oid[AUGUR_OID_LEN])
{
	u8 in[32 + 4 + 128];
	size_t n = handle_of(text, in + 32);
	XXH128_canonical_t c;

	if (!n)
		return -EBADMSG;
	memcpy(in, volume_id, 16);
	memcpy(in + 16, uuid, 16);
	XXH128_canonicalFromHash(&c, XXH3_128bits(in, 32 + n));
	memcpy(oid, c.digest, AUGUR_OID_LEN);
	return 0;
}

/* As daemon/origin/attr.c has it. */
static u64 tag_of(const char *handle, const struct state *s)
{
	u8 in[4 + 128 + 32];
	size_t n = handle_of(handle, in);
	u64 v[4] = { s->size, (u64)s->mtime_sec, (u64)s->ctime_sec, (u64)s->mtime_nsec << 32 | s->ctime_nsec };
	u64 tag;

	for (int i = 0; i < 4; i++, n += 8) {
		v[i] = cpu_to_le64(v[i]);
		memcpy(in + n, &v[i], 8);
	}
	tag = XXH3_64bits(in, n);
	return tag ? tag : 1;
}

static void content(struct state *s)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	char key[32];
	int n = snprintf(key, sizeof(key), "%llu", (unsigned long long)s->key);

	s->data = xmalloc(s->size + 1);
	if (!md || !EVP_DigestInit_ex(md, EVP_shake128(), NULL) || !EVP_DigestUpdate(md, key, n) ||
	    !EVP_DigestFinalXOF(md, s->data, s->size))
		abort();
	EVP_MD_CTX_free(md);
}

static void take_names(struct state *s, const u8 *volume_id, const u8 *uuid, char *save)
{
	u8 buf[256];
	char *w;

	while ((w = strtok_r(NULL, " \n", &save))) {
		char *eq = strchr(w, '=');
		size_t n;

		if (!eq)
			continue;
		*eq = 0;
		n = unhex(w, buf, 255);
		buf[n] = 0;
		s->names = xrealloc(s->names, (s->nnames + 1) * sizeof(*s->names));
		s->names[s->nnames].name = xstrdup((char *)buf);
		states_oid(volume_id, uuid, eq + 1, s->names[s->nnames++].oid);
	}
}

static int take_pin(struct states *st, const u8 *volume_id, u64 no, char what, const char *handle)
{
	struct pin_state *p;

	st->p = xrealloc(st->p, (st->npins + 1) * sizeof(*st->p));
	p = &st->p[st->npins++];
	p->no = no;
	p->what = what;
	return handle ? states_oid(volume_id, st->uuid, handle, p->oid) : -EBADMSG;
}

static int take_line(struct states *st, const u8 *volume_id, u64 no, char *line)
{
	char *save, *type = strtok_r(line, " \n", &save), *w[5], *rest;
	struct state *s;

	if (!type)
		return -EBADMSG;
	for (int i = 0; i < 5; i++)
		w[i] = *type == 'U' && i ? NULL : strtok_r(NULL, " \n", &save);
	if (*type == 'U')
		return w[0] && unhex(w[0], st->uuid, 16) == 16 ? 0 : -EBADMSG;
	if (strchr("PNK", *type))
		return take_pin(st, volume_id, no, *type, w[0]);
	if (!w[4])
		return -EBADMSG;
	if (st->n == st->cap) {
		st->cap = st->cap ? st->cap * 2 : 1024;
		st->s = xrealloc(st->s, st->cap * sizeof(*st->s));
	}
	s = &st->s[st->n++];
	memset(s, 0, sizeof(*s));
	s->no = no;
	s->type = *type;
	if (states_oid(volume_id, st->uuid, w[0], s->oid) ||
	    sscanf(w[1], "%lld.%u", (long long *)&s->ctime_sec, &s->ctime_nsec) != 2 ||
	    sscanf(w[2], "%lld.%u", (long long *)&s->mtime_sec, &s->mtime_nsec) != 2)
		return -EBADMSG;
	s->size = strtoull(w[3], NULL, 10);
	s->nlink = strtoull(w[4], NULL, 10);
	s->tag = tag_of(w[0], s);
	if (s->type == 'd') {
		take_names(s, volume_id, st->uuid, save);
		return 0;
	}
	rest = strtok_r(NULL, " \n", &save);
	if (!rest)
		return -EBADMSG;
	s->key = strtoull(rest, NULL, 10);
	if (s->type == 'f') {
		content(s);
		return 0;
	}
	s->data = xmalloc(s->size + 1);
	return unhex(rest, s->data, s->size) == s->size ? 0 : -EBADMSG;
}

int states_read(struct states *st, const char *path, const u8 volume_id[16])
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	u64 no = 0;
	int err = f ? 0 : -errno;

	memset(st, 0, sizeof(*st));
	while (!err && getline(&line, &cap, f) > 0)
		err = take_line(st, volume_id, ++no, line);
	if (err)
		fprintf(stderr, "%s: line %llu cannot be read\n", path, (unsigned long long)no);
	free(line);
	if (f)
		fclose(f);
	return err;
}

const struct state *state_by_ctime(const struct states *st, const u8 *oid, s64 sec, u32 nsec, u64 size, size_t *from)
{
	for (size_t i = *from; i < st->n; i++) {
		const struct state *s = &st->s[i];

		if (s->ctime_nsec == nsec && s->ctime_sec == sec && (s->type == 'd' || s->size == size) &&
		    !memcmp(s->oid, oid, AUGUR_OID_LEN)) {
			*from = i + 1;
			return s;
		}
	}
	return NULL;
}

const struct state *state_by_tag(const struct states *st, const u8 *oid, u64 tag)
{
	for (size_t i = 0; i < st->n; i++)
		if (st->s[i].tag == tag && !memcmp(st->s[i].oid, oid, AUGUR_OID_LEN))
			return &st->s[i];
	return NULL;
}

bool state_over(const struct states *st, const struct state *s, u64 no)
{
	for (size_t i = s - st->s + 1; i < st->n && st->s[i].no <= no; i++)
		if (!memcmp(st->s[i].oid, s->oid, AUGUR_OID_LEN) && st->s[i].tag != s->tag)
			return true;
	return false;
}

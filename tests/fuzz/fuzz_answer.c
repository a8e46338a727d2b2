// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes what a hostile owner may answer or push, as the agent decodes it: listings, items of
 * changes and of revalidations, maps, volumes, and an entry's attributes.  What is accepted
 * keeps its promises and is the same after encoding and decoding.
 *
 * Input: one byte of kind, then the fields.
 *
 * max_len: 512
 */
#include <assert.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "meta/meta.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static bool is_name(const char *name, size_t len)
{
	return len && len <= AUGUR_NAME_MAX && !memchr(name, 0, len) && !memchr(name, '/', len) &&
	       !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

static void change(struct wire_in in)
{
	struct change_item it, back;
	struct wire_out w;

	if (change_parse_item(in, &it))
		return;
	assert(it.oid && it.kind >= AUGUR_INVAL_ATTR && it.kind <= AUGUR_INVAL_DIR);
	assert(!it.name || is_name(it.name, it.name_len));
	wire_out_init(&w);
	wire_put_u32(&w, WF_SHARD_ID, it.shard);
	wire_put_u64(&w, WF_SEQ, it.seq);
	wire_put_u32(&w, WF_KIND, it.kind);
	wire_put_u64(&w, WF_TAG, it.tag);
	wire_put(&w, WF_OID, it.oid, AUGUR_OID_LEN);
	if (it.parent)
		wire_put(&w, WF_PARENT_OID, it.parent, AUGUR_OID_LEN);
	if (it.name)
		wire_put(&w, WF_NAME, it.name, it.name_len);
	assert(!change_parse_item((struct wire_in){ w.buf, w.buf + w.len }, &back));
	assert(back.shard == it.shard && back.seq == it.seq && back.kind == it.kind && back.tag == it.tag &&
	       !memcmp(back.oid, it.oid, AUGUR_OID_LEN) && !back.parent == !it.parent && back.name_len == it.name_len);
	wire_out_free(&w);
}

static void xattrs(const struct wire_entry *e)
{
	const u8 *p = e->xattrs, *end, *val;
	const char *name;
	size_t n, m, sum = 0;
	int r;

	if (!p)
		return;
	end = p + e->xattrs_len;
	while ((r = wire_xattr_next(&p, end, &name, &n, &val, &m)) == 1) {
		assert(n && n <= 255 && !memchr(name, 0, n) && val + m <= end);
		sum += 3 + n + m;
	}
	assert(!r && sum == e->xattrs_len);
}

static void reval(struct wire_in in)
{
	struct reval_res res;

	if (reval_item_parse(in, &res))
		return;
	assert(res.status <= 0 && res.status >= WIRE_STATUS_MIN);
	if (!res.has_entry)
		return;
	assert(res.e.attr.size <= INT64_MAX && !res.e.name && S_ISLNK(res.e.attr.mode) == !!res.e.link);
	xattrs(&res.e);
}

static void check_map(const struct meta_map *m)
{
	assert(m->version && m->nshards && m->nshards <= META_SHARDS_MAX && m->nproxies && m->nproxies <= META_PROXIES_MAX);
	for (u32 i = 0; i < META_SLOTS; i++)
		assert(m->slot_shard[i] < m->nshards);
	for (u32 i = 0; i < m->nshards; i++)
		assert(m->shards[i].proxy < m->nproxies);
	for (u32 i = 0; i < m->nproxies; i++)
		assert(m->proxies[i].id[0] && m->proxies[i].addr[0] && meta_map_proxy_index(m, m->proxies[i].id) == (int)i);
}

/* The slots, 8 KiB that nobody would guess, are given: shard 0, or what the first byte says. */
static void map(const u8 *data, size_t size)
{
	static u8 slots[META_SLOTS * 2];
	struct meta_map *m, *back;
	struct wire_out w, again;

	memset(slots, 0, sizeof(slots));
	slots[0] = size ? data[0] : 0;
	wire_out_init(&w);
	wire_put(&w, WF_SHARDS, slots, sizeof(slots));
	w.buf = xrealloc(w.buf, w.len + size + 1);
	memcpy(w.buf + w.len, data, size);
	if (!meta_map_decode((struct wire_in){ w.buf, w.buf + w.len + size }, &m)) {
		check_map(m);
		wire_out_init(&again);
		meta_map_encode(m, &again);
		assert(!meta_map_decode((struct wire_in){ again.buf, again.buf + again.len }, &back));
		back->refs = m->refs;
		assert(!memcmp(m, back, sizeof(*m)));
		meta_map_put(back);
		meta_map_put(m);
		wire_out_free(&again);
	}
	wire_out_free(&w);
}

static void volume(struct wire_in in)
{
	struct meta_volume vol, back;
	struct wire_out w;

	memset(&vol, 0, sizeof(vol));
	if (meta_volume_decode(in, &vol))
		return;
	for (u32 i = 1; i < vol.nsplit; i++)
		assert(memcmp(vol.split[i - 1], vol.split[i], AUGUR_OID_LEN) <= 0);
	wire_out_init(&w);
	meta_volume_encode(&vol, &w);
	assert(!meta_volume_decode((struct wire_in){ w.buf, w.buf + w.len }, &back));
	assert(back.nsplit == vol.nsplit && !memcmp(back.id, vol.id, sizeof(vol.id)) && !memcmp(back.key, vol.key, sizeof(vol.key)));
	free(back.split);
	free(vol.split);
	wire_out_free(&w);
}

/* A frame of a directory's entries, up to what the cache's worker is given. */
static void listing(struct wire_in in)
{
	static struct cache c = { .chunk_shift = AUGUR_CHUNK_SHIFT_DEF };
	static struct vol v = { .c = &c };
	static struct cobj o;
	static struct dwork d = { .v = &v, .o = &o };
	struct dir_job *dj = dir_job_new(&d);
	struct wire_entry dir;
	bool has_dir;
	u32 complete;

	if (!dir_job_entries(dj, in, &dir, &has_dir, &complete) && has_dir) {
		assert(S_ISDIR(dir.attr.mode) && !memcmp(dir.attr.oid, d.oid, AUGUR_OID_LEN));
		stub_job_dir(dj->j, &dir);
	}
	for (u32 i = 0; i < dj->j->n; i++) {
		const struct stub_ent *s = &dj->j->ents[i];

		assert(is_name(s->name, s->name_len) && s->name[s->name_len] == 0 && s->loc_len <= WIRE_LOCATOR_MAX);
		assert(augur_map_bytes(s->attr.size, s->shift) <= AUGUR_MAP_MAX);
		assert(!s->link || strlen(s->link) == s->link_len);
	}
	dir_job_free(dj);
}

static void entry(struct wire_in in, bool named)
{
	struct wire_val v = { WF_ENTRY, in.end - in.p, in.p };
	struct wire_entry e;

	if (wire_get_entry(&v, &e, named))
		return;
	assert(!named || is_name(e.name, e.name_len));
	xattrs(&e);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	u8 *body;
	struct wire_in in;

	if (size < 1 || size > WIRE_BODY_MAX)
		return 0;
	body = xmemdup(data + 1, size - 1);	/* exact, so that the sanitizer sees a byte too far */
	in = (struct wire_in){ body, body + size - 1 };
	switch (data[0] & 7) {
	case 0:
		change(in);
		break;
	case 1:
		reval(in);
		break;
	case 2:
		map(body, size - 1);
		break;
	case 3:
		volume(in);
		break;
	case 4:
	case 5:
		listing(in);
		break;
	default:
		entry(in, data[0] & 1);
	}
	free(body);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The map and the store: shares are even, the wire form holds and is checked field by field,
 * a map is published when all have joined, a proxy that sees other handles is refused, and
 * what the store said it says again after a restart.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "loop.h"
#include "meta/meta.h"
#include "wire/msg.h"

static void members(struct meta_proxy *p, u32 n)
{
	memset(p, 0, n * sizeof(*p));
	for (u32 i = 0; i < n; i++) {
		snprintf(p[i].id, sizeof(p[i].id), "p%u", i + 1);
		snprintf(p[i].addr, sizeof(p[i].addr), "10.9.0.%u:7433", i + 1);
		p[i].state = META_P_UP;
	}
}

static void count(const struct meta_map *m, u32 slots[], u32 shards[])
{
	memset(slots, 0, META_PROXIES_MAX * sizeof(u32));
	memset(shards, 0, META_PROXIES_MAX * sizeof(u32));
	for (u32 i = 0; i < META_SLOTS; i++)
		slots[m->shards[m->slot_shard[i]].proxy]++;
	for (u32 i = 0; i < m->nshards; i++)
		shards[m->shards[i].proxy]++;
}

/* ---- the deal ---- */

static void deal_is_even(void **state)
{
	u32 slots[META_PROXIES_MAX], shards[META_PROXIES_MAX];
	struct meta_proxy p[4];

	for (u64 seed = 0; seed < 20; seed++) {
		for (u32 n = 1; n <= 4; n++) {
			struct meta_map *m;

			members(p, n);
			m = meta_map_deal(1, seed, 64, p, n);
			assert_non_null(m);
			count(m, slots, shards);
			for (u32 i = 0; i < n; i++) {
				assert_in_range(shards[i], 64 / n, (64 + n - 1) / n);
				assert_in_range(slots[i], 64 / n * 64, (64 + n - 1) / n * 64);
			}
			meta_map_put(m);
		}
	}
}

static void deal_depends_on_seed_alone(void **state)
{
	struct meta_proxy p[3];
	static const u16 slots[6] = { 11, 33, 21, 40, 35, 50 }, owners[6] = { 2, 2, 2, 1, 0, 1 };
	struct meta_map *a, *b, *c;

	members(p, 3);
	a = meta_map_deal(1, 7, 64, p, 3);
	b = meta_map_deal(1, 7, 64, p, 3);
	c = meta_map_deal(1, 8, 64, p, 3);
	assert_memory_equal(a->slot_shard, b->slot_shard, sizeof(a->slot_shard));
	assert_memory_not_equal(a->slot_shard, c->slot_shard, sizeof(a->slot_shard));
	/* Pinned: a deal must be the same on every machine and in every version. */
	assert_memory_equal(a->slot_shard, slots, sizeof(slots));
	for (u32 i = 0; i < 6; i++)
		assert_int_equal(a->shards[i].proxy, owners[i]);
	meta_map_put(a);
	meta_map_put(b);
	meta_map_put(c);
}

static void deal_refuses_nonsense(void **state)
{
	struct meta_proxy p[1];

	members(p, 1);
	assert_null(meta_map_deal(1, 1, 0, p, 1));
	assert_null(meta_map_deal(1, 1, META_SHARDS_MAX + 1, p, 1));
	assert_null(meta_map_deal(1, 1, 64, p, 0));
	assert_null(meta_map_deal(1, 1, 64, p, META_PROXIES_MAX + 1));
}

/* What each of @n proxies has after a deal, of 1000 by bytes, by entries and by number of shards. */
static void shares(const struct meta_map *m, const struct meta_weight *weight, u32 n, u64 (*part)[3])
{
	u64 bytes = 0, entries = 0;

	memset(part, 0, n * sizeof(*part));
	for (u32 i = 0; i < META_SLOTS; i++) {
		u32 p = m->shards[m->slot_shard[i]].proxy;

		assert_in_range(p, 0, n - 1);
		part[p][0] += weight[i].bytes;
		part[p][1] += weight[i].entries;
		bytes += weight[i].bytes;
		entries += weight[i].entries;
	}
	for (u32 i = 0; i < m->nshards; i++)
		part[m->shards[i].proxy][2]++;
	for (u32 p = 0; p < n; p++) {
		part[p][0] = bytes ? part[p][0] * 1000 / bytes : 0;
		part[p][1] = entries ? part[p][1] * 1000 / entries : 0;
		part[p][2] = part[p][2] * 1000 / m->nshards;
	}
}

/* Least of all proxies over 40 seeds, by measure; @fill makes a tree. */
static void worst_share(void (*fill)(struct meta_weight *w, u64 seed), u32 n, u64 worst[3])
{
	struct meta_weight weight[META_SLOTS];
	struct meta_proxy p[META_PROXIES_MAX];
	u64 part[META_PROXIES_MAX][3];

	members(p, n);
	worst[0] = worst[1] = worst[2] = 1000;
	for (u64 seed = 0; seed < 40; seed++) {
		struct meta_map *m = meta_map_deal(1, seed, 64, p, n);

		memset(weight, 0, sizeof(weight));
		fill(weight, seed);
		meta_map_balance(m, weight);
		shares(m, weight, n, part);
		for (u32 i = 0; i < n; i++)
			for (int k = 0; k < 3; k++)
				worst[k] = min(worst[k], part[i][k]);
		meta_map_put(m);
	}
}

/* Directories of ten files of 0 to 64 KiB anywhere; a sequence of its own for each seed. */
static void many_small(struct meta_weight *w, u64 seed)
{
	u64 x = seed * 2654435761u + 1;

	for (int d = 0; d < 90; d++) {
		struct meta_weight *slot;

		x = x * 6364136223846793005ull + 1442695040888963407ull;
		slot = &w[(x >> 40) % META_SLOTS];
		slot->entries += 11;
		for (int f = 0; f < 10; f++) {
			x = x * 6364136223846793005ull + 1442695040888963407ull;
			slot->bytes += (x >> 48) >> (x >> 32) % 7;
		}
	}
}

static void one_large(struct meta_weight *w, u64 seed)
{
	many_small(w, seed);
	w[seed * 97 % META_SLOTS].bytes += 8 << 20;
	w[seed * 97 % META_SLOTS].entries++;
}

/* Ten times a terabyte, and a million names beside it: neither measure may decide for the other. */
static void huge_and_tiny(struct meta_weight *w, u64 seed)
{
	for (int i = 0; i < 10; i++)
		w[(seed * 31 + i * 409) % META_SLOTS] = (struct meta_weight){ (1ull << 40) + i * (1ull << 36), 1 };
	for (u32 i = 0; i < META_SLOTS; i++) {
		w[i].bytes += 250 * 4096;
		w[i].entries += 250;
	}
}

static void one_directory(struct meta_weight *w, u64 seed)
{
	w[seed] = (struct meta_weight){ 1 << 20, 100 };
}

static void nothing(struct meta_weight *w, u64 seed)
{
}

static void balance_is_even_by_both(void **state)
{
	u64 worst[3];

	worst_share(many_small, 2, worst);
	assert_in_range(worst[0], 440, 500);
	assert_in_range(worst[1], 440, 500);
	worst_share(many_small, 4, worst);
	assert_in_range(worst[0], 190, 250);
	assert_in_range(worst[1], 190, 250);
	/* Most of the bytes are one file: its owner has them, and a good part of the questions. */
	worst_share(one_large, 2, worst);
	assert_in_range(worst[0], 180, 500);
	assert_in_range(worst[1], 180, 500);
	worst_share(huge_and_tiny, 2, worst);
	assert_in_range(worst[0], 400, 500);
	assert_in_range(worst[1], 400, 500);
	/* What is empty is dealt by number: it may be filled tomorrow. */
	worst_share(one_directory, 2, worst);
	assert_in_range(worst[2], 484, 500);
	worst_share(nothing, 3, worst);
	assert_in_range(worst[2], 328, 333);
}

/* ---- the wire form ---- */

static int decode(const struct wire_out *w, struct meta_map **out)
{
	return meta_map_decode((struct wire_in){ w->buf, w->buf + w->len }, out);
}

static void map_survives_the_wire(void **state)
{
	struct meta_proxy p[3];
	struct meta_map *m, *d;
	struct wire_out w;

	members(p, 3);
	m = meta_map_deal(9, 5, META_SHARDS_MAX, p, 3);
	m->shards[17].epoch = 1ULL << 40;
	wire_out_init(&w);
	meta_map_encode(m, &w);
	assert_true(w.len < WIRE_BODY_MAX);
	assert_int_equal(decode(&w, &d), 0);
	assert_int_equal(d->version, 9);
	assert_int_equal(d->seed, 5);
	assert_int_equal(d->nproxies, 3);
	assert_memory_equal(d->slot_shard, m->slot_shard, sizeof(m->slot_shard));
	for (u32 i = 0; i < m->nshards; i++) {
		assert_int_equal(d->shards[i].epoch, m->shards[i].epoch);
		assert_int_equal(d->shards[i].proxy, m->shards[i].proxy);
	}
	assert_string_equal(d->proxies[2].addr, "10.9.0.3:7433");
	wire_out_free(&w);
	meta_map_put(m);
	meta_map_put(d);
}

static void map_cut_or_bent_is_refused(void **state)
{
	struct meta_proxy p[2];
	struct meta_map *m, *d;
	struct wire_out w;

	members(p, 2);
	m = meta_map_deal(1, 1, 64, p, 2);
	wire_out_init(&w);
	meta_map_encode(m, &w);
	for (size_t n = 0; n < w.len; n += 7)
		assert_int_equal(meta_map_decode((struct wire_in){ w.buf, w.buf + n }, &d), -EBADMSG);
	wire_out_free(&w);

	wire_out_init(&w);
	m->slot_shard[5] = 64;		/* no such shard */
	meta_map_encode(m, &w);
	assert_int_equal(decode(&w, &d), -EBADMSG);
	wire_out_free(&w);

	wire_out_init(&w);
	m->slot_shard[5] = 0;
	meta_map_encode(m, &w);
	meta_map_encode(m, &w);		/* proxies and shards twice */
	assert_int_equal(decode(&w, &d), -EBADMSG);
	wire_out_free(&w);

	wire_out_init(&w);
	memset(m->proxies[1].id, 0, sizeof(m->proxies[1].id));
	meta_map_encode(m, &w);
	assert_int_equal(decode(&w, &d), -EBADMSG);
	wire_out_free(&w);
	meta_map_put(m);
}

/* ---- the store ---- */

struct got { bool done; int status; u8 id[16], key[32]; };

static void joined(void *ctx, int status, const struct meta_volume *vol)
{
	struct got *g = ctx;

	g->done = true;
	g->status = status;
	if (!status) {
		memcpy(g->id, vol->id, 16);
		memcpy(g->key, vol->key, 32);
	}
}

static struct meta_map *seen;

static void watched(void *ctx, int status, struct meta_map *map)
{
	assert_int_equal(status, 0);
	meta_map_put(seen);
	seen = map;
}

/* The map comes when the store has written it, after the answer: waited for, as the disk may be busy. */
static void await_version(u64 version)
{
	for (u64 end = io_now(io) + 10000 * MSEC; (!seen || seen->version < version) && io_now(io) < end;)
		run_until(NULL, 5);
	assert_non_null(seen);
	assert_int_equal(seen->version, version);
}

static struct got join(struct meta *m, u32 n, u8 root)
{
	struct meta_volume vol = { .name = "vol" };
	struct meta_proxy p[3];
	struct got g = { .done = false };

	members(p, 3);
	memset(vol.root_oid, root, sizeof(vol.root_oid));
	m->ops->join(m, &vol, &p[n - 1], joined, &g);
	run_until(&g.done, 2000);
	assert_true(g.done);
	run_until(NULL, 20);
	return g;
}

static void config(struct meta_store_cfg *cfg, u32 n)
{
	memset(cfg, 0, sizeof(*cfg));
	cfg->volume = "vol";
	cfg->nmembers = n;
	cfg->seed = 3;
	members(cfg->members, n);
}

static void store_publishes_when_all_joined(void **state)
{
	struct meta_store_cfg cfg;
	struct meta *m;
	struct got a, b;

	config(&cfg, 2);
	m = meta_mem_new(io, &cfg);
	m->ops->watch(m, watched, NULL);
	a = join(m, 1, 1);
	assert_int_equal(a.status, 0);
	assert_null(seen);
	b = join(m, 2, 1);
	assert_int_equal(b.status, 0);
	assert_memory_equal(a.id, b.id, 16);
	assert_memory_equal(a.key, b.key, 32);
	await_version(1);
	assert_int_equal(seen->nproxies, 2);
	m->ops->close(m);
	run_until(NULL, 20);
	meta_map_put(seen);
	seen = NULL;
}

static void store_refuses_strangers(void **state)
{
	struct meta_store_cfg cfg;
	struct meta *m;

	config(&cfg, 2);
	m = meta_mem_new(io, &cfg);
	assert_int_equal(join(m, 3, 1).status, -EPERM);
	assert_int_equal(join(m, 1, 1).status, 0);
	assert_int_equal(join(m, 2, 2).status, -EXDEV);
	m->ops->close(m);
	run_until(NULL, 20);
}

static void store_goes_on_without_the_missing(void **state)
{
	struct meta_store_cfg cfg;
	struct meta *m;

	config(&cfg, 2);
	cfg.grace_ns = 50 * MSEC;
	m = meta_mem_new(io, &cfg);
	m->ops->watch(m, watched, NULL);
	join(m, 1, 1);
	run_until(NULL, 150);
	assert_non_null(seen);
	assert_int_equal(seen->proxies[1].state, META_P_DOWN);
	join(m, 2, 1);
	assert_int_equal(seen->proxies[1].state, META_P_UP);
	await_version(2);
	m->ops->close(m);
	run_until(NULL, 20);
	meta_map_put(seen);
	seen = NULL;
}

static void unlink_db(const char *path)
{
	CLEANUP_FREE char *wal = xasprintf("%s-wal", path), *shm = xasprintf("%s-shm", path);

	unlink(path);
	unlink(wal);
	unlink(shm);
}

static void store_remembers(void **state)
{
	char path[] = "/tmp/augur-meta-XXXXXX";
	struct meta_store_cfg cfg;
	struct meta_db *db;
	struct meta *m;
	struct got a, b;
	u64 version;

	close(mkstemp(path));
	unlink(path);
	config(&cfg, 1);
	assert_int_equal(meta_db_open(io, path, &db), 0);
	m = meta_sqlite_new(db, &cfg);
	assert_non_null(m);
	m->ops->watch(m, watched, NULL);
	a = join(m, 1, 1);
	assert_int_equal(a.status, 0);
	await_version(1);
	version = seen->version;
	m->ops->close(m);
	run_until(NULL, 20);
	meta_db_close(db);
	meta_map_put(seen);
	seen = NULL;

	/* The same members: the same map at once.  Another seed: a new one. */
	assert_int_equal(meta_db_open(io, path, &db), 0);
	m = meta_sqlite_new(db, &cfg);
	m->ops->watch(m, watched, NULL);
	assert_non_null(seen);
	assert_int_equal(seen->version, version);
	b = join(m, 1, 1);
	assert_memory_equal(a.id, b.id, 16);
	assert_memory_equal(a.key, b.key, 32);
	assert_int_equal(seen->version, version);
	m->ops->close(m);
	run_until(NULL, 20);
	cfg.seed = 4;
	m = meta_sqlite_new(db, &cfg);
	m->ops->watch(m, watched, NULL);
	join(m, 1, 1);
	await_version(version + 1);
	assert_int_equal(seen->seed, 4);
	m->ops->close(m);
	run_until(NULL, 20);
	meta_db_close(db);
	run_until(NULL, 20);
	meta_map_put(seen);
	seen = NULL;
	unlink_db(path);
}

static void volume_survives_the_wire(void **state)
{
	struct meta_volume vol = { .nsplit = 2 }, got = { .nsplit = 0 };
	struct wire_out w;

	memset(vol.id, 1, sizeof(vol.id));
	memset(vol.key, 2, sizeof(vol.key));
	vol.split = xcalloc(2, sizeof(*vol.split));
	vol.split[0][0] = 9;	/* sorted by the receiver */
	vol.split[1][0] = 8;
	wire_out_init(&w);
	meta_volume_encode(&vol, &w);
	assert_int_equal(meta_volume_decode((struct wire_in){ w.buf, w.buf + w.len }, &got), 0);
	assert_memory_equal(got.key, vol.key, sizeof(vol.key));
	assert_int_equal(got.nsplit, 2);
	assert_int_equal(got.split[0][0], 8);
	free(got.split);
	assert_int_equal(meta_volume_decode((struct wire_in){ w.buf, w.buf + w.len - 1 }, &got), -EBADMSG);
	wire_out_free(&w);
	free(vol.split);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deal_is_even),
		cmocka_unit_test(deal_depends_on_seed_alone),
		cmocka_unit_test(deal_refuses_nonsense),
		cmocka_unit_test(balance_is_even_by_both),
		cmocka_unit_test(map_survives_the_wire),
		cmocka_unit_test(map_cut_or_bent_is_refused),
		cmocka_unit_test(store_publishes_when_all_joined),
		cmocka_unit_test(store_refuses_strangers),
		cmocka_unit_test(store_goes_on_without_the_missing),
		cmocka_unit_test(store_remembers),
		cmocka_unit_test(volume_survives_the_wire),
	};
	int failed;

	log_open("test", LOG_L_ERR);
	io = io_new(getenv("TEST_IO"));
	if (!io)
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	io->ops->destroy(io);
	return failed;
}

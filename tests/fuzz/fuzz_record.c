// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes what kernel and daemon share (kmod/common): the record trusted.augur, names, presence
 * maps and leases, each against a slow model of what it promises.
 *
 * Input: read as a record as it is and with its checksum made right, as a name, and as steps
 * on a map.
 */
#include <assert.h>

#include "base/mem.h"
#include "common/bitmap.h"
#include "common/lease.h"
#include "common/record.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* ---- records ---- */

static u32 slow_crc(const u8 *p, size_t len)
{
	u32 crc = ~0U;

	while (len--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static bool is_sane(const struct augur_rec *r)
{
	return !(r->flags & AUGUR_REC_STUB) != !(r->flags & AUGUR_REC_COMPLETE) && r->size <= INT64_MAX &&
	       r->ctime_nsec < 1000000000 && (!r->holes || r->size) &&
	       (!r->chunk_shift || (r->chunk_shift >= AUGUR_CHUNK_SHIFT_MIN && r->chunk_shift <= AUGUR_CHUNK_SHIFT_MAX));
}

/* What is accepted is sane, and is the same again after encoding. */
static void check_record(const u8 *p, size_t len)
{
	struct augur_rec rec, back;
	u8 out[AUGUR_RECORD_LEN];

	memset(&rec, 0, sizeof(rec));
	memset(&back, 0, sizeof(back));
	if (augur_rec_decode(p, len, &rec))
		return;
	assert(is_sane(&rec));
	augur_rec_encode(&rec, out);
	assert(!augur_rec_decode(out, sizeof(out), &back) && !memcmp(&rec, &back, sizeof(rec)));
	assert(!memcmp(out, p, AUGUR_RECORD_LEN));
	assert(augur_blocks(rec.size, rec.holes) <= (rec.size + 511) / 512);
	assert(!augur_blocks(rec.size, rec.holes) == !rec.size);
	assert(augur_oid_ino(rec.oid) > 1);
}

static void records(const u8 *data, size_t size)
{
	u8 rec[AUGUR_RECORD_LEN];
	u32 crc;

	check_record(data, size);
	assert(augur_crc32c(data, min(size, (size_t)96)) == slow_crc(data, min(size, (size_t)96)));
	if (size < sizeof(rec))
		return;
	memcpy(rec, data, sizeof(rec));
	rec[0] = AUGUR_RECORD_MAGIC & 0xff, rec[1] = AUGUR_RECORD_MAGIC >> 8 & 0xff;
	rec[2] = AUGUR_RECORD_MAGIC >> 16 & 0xff, rec[3] = AUGUR_RECORD_MAGIC >> 24;
	crc = slow_crc(rec, offsetof(struct augur_record, crc));
	for (int i = 0; i < 4; i++)
		rec[offsetof(struct augur_record, crc) + i] = crc >> 8 * i;
	check_record(rec, sizeof(rec));
}

/* ---- names ---- */

static void names(const u8 *data, size_t size)
{
	const char *name = (const char *)data;
	int err = size ? size > AUGUR_NAME_MAX ? -ENAMETOOLONG : 0 : -EINVAL;

	if (!err && (memchr(data, '/', size) || memchr(data, 0, size)))
		err = -EINVAL;
	if (!err && ((size == 1 && name[0] == '.') || (size == 2 && name[0] == '.' && name[1] == '.')))
		err = -EINVAL;
	assert(augur_name_check(name, size) == err);
}

/* ---- maps ---- */

#define BITS 75

static void check_map(const u8 *map, const bool *model, u64 at)
{
	u64 one = at, zero = at, n = 0, upto = BITS - 3;

	while (one < upto && !model[one])
		one++;
	while (zero < upto && model[zero])
		zero++;
	for (u64 i = 0; i < upto; i++)
		n += model[i];
	assert(augur_map_next_one(map, at, upto) == one);
	assert(augur_map_next_zero(map, at, upto) == zero);
	assert(augur_map_weight(map, upto) == n);
	assert(augur_map_test(map, at) == model[at]);
	assert(augur_map_all(map, at, zero - at));
}

/* Steps of three bytes: what, from, how many. */
static void maps(const u8 *data, size_t size)
{
	u8 *map = xcalloc(1, (BITS + 7) / 8);	/* an exact one, so that the sanitizer sees a byte too far */
	bool model[BITS] = { false };

	size = min(size, (size_t)60);
	for (; size >= 3; data += 3, size -= 3) {
		u64 from = data[1] % BITS, n = data[2] % (BITS - from + 1);
		bool set = data[0] & 1;

		if (set)
			augur_map_set_range(map, from, n);
		else
			augur_map_clear_range(map, from, n);
		for (u64 i = from; i < from + n; i++)
			model[i] = set;
		if (data[0] & 2)
			augur_map_set(map, from), model[from] = true;
		if (from < BITS - 3)
			check_map(map, model, from);
	}
	free(map);
}

static u64 number(const u8 *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* A range of a file covers its bytes and no more than the file; a map of any file has a size. */
static void ranges(const u8 *data, size_t size)
{
	u64 off, len, file, first, n;
	unsigned int shift;

	if (size < 25)
		return;
	off = number(data);
	len = number(data + 8);
	file = number(data + 16) >> (data[24] & 63);
	shift = augur_shift_for(file, data[24]);
	assert(shift >= AUGUR_CHUNK_SHIFT_MIN && augur_map_bytes(file, shift) <= AUGUR_MAP_MAX);
	augur_chunk_range(off, len, file, shift, &first, &n);
	assert(!n == (!len || off >= file || off + len < off));
	if (!n)
		return;
	assert(first << shift <= off && first + n <= augur_chunks(file, shift));
	len = min(len, file - off);
	assert((off + len - 1) >> shift == first + n - 1);
}

static void leases(const u8 *data, size_t size)
{
	struct augur_lease l = { .seq = 5, .deadline_ns = 7 };
	u64 sent, end;
	u32 ms;

	if (size < 20)
		return;
	sent = number(data);
	ms = number(data + 8);
	end = augur_lease_deadline(sent, ms);
	/* Never longer than the owner thinks, by an eighth at least. */
	if (end)
		assert(end >= sent && end - sent <= ms * 1000000ull - ms * 125000ull);
	assert(augur_lease_update(&l, data[16], end) == (data[16] >= 5));
	assert(augur_lease_valid(&l, sent) == (sent < l.deadline_ns));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	records(data, size);
	names(data, size);
	maps(data, size);
	ranges(data, size);
	leases(data, size);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * judge.c - is anything in this cache believed that is not true?
 *
 * Believed are: the bytes of an inode whose record says complete; the chunks of a partial file
 * in the index; the names of a directory that says complete; an inode at a name unless its
 * record says stale.  After an unclean end the daemon first compares each inode with its row and
 * marks those that differ (cache/check.c), and then asks the owner about each row.  So what
 * counts there is whether the tree is what the row says, for the owner may answer that the row
 * is current.  After a clean end nothing is compared: everything has to be of a state that was
 * not over when the workload last found the mount equal to the origin.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <ext2fs/ext2fs.h>

#include "powercut.h"

struct court { struct seen *s; const struct evidence *e; struct verdict *v; };

static void complain(struct court *c, u64 *count, const struct inode_seen *in, const char *name, const char *what)
{
	struct verdict *v = c->v;
	const struct augur_rec *r = &in->rec;

	(*count)++;
	if (!v->first[0])
		snprintf(v->first, sizeof(v->first), "%s: %s: inode %u oid %llx flags %x ctime %lld.%09u size %llu%s",
			 what, name ? name : "", in->ino, (unsigned long long)augur_oid_ino(r->oid), r->flags,
			 (long long)r->ctime_sec, r->ctime_nsec, (unsigned long long)r->size, c->s->clean ? " (clean)" : "");
}

static const char *name_of(const struct court *c, const struct inode_seen *in)
{
	for (size_t i = 0; i < c->s->nname; i++)
		if (c->s->name[i].inode == in - c->s->inode)
			return c->s->name[i].name;
	return "the root";
}

static bool is_fh(const struct inode_seen *in, const struct fh *fh)
{
	u32 w[3];

	if (fh->len != sizeof(w))
		return false;
	memcpy(w, fh->b, sizeof(w));
	return w[0] == 1 && w[1] == in->ino && w[2] == in->gen;
}

static const struct row_seen *row_of(const struct court *c, const struct inode_seen *in)
{
	for (size_t i = 0; i < c->s->nrow; i++)
		if (!memcmp(c->s->row[i].oid, in->rec.oid, AUGUR_OID_LEN))
			return &c->s->row[i];
	return NULL;
}

/* The row that says of this inode what its record says. */
static const struct row_seen *match(const struct court *c, const struct inode_seen *in)
{
	const struct row_seen *r = in->valid ? row_of(c, in) : NULL;

	if (!r || !is_fh(in, &r->fh) || r->version != in->rec.version || r->ctime_sec != in->rec.ctime_sec ||
	    r->ctime_nsec != in->rec.ctime_nsec || (S_ISREG(in->mode) && r->size != in->rec.size))
		return NULL;
	return r;
}

static bool trusted(const struct court *c, const struct inode_seen *in)
{
	return in->valid && !(in->rec.flags & AUGUR_REC_STALE) && (c->s->clean || !c->e->checked || match(c, in));
}

/* ---- bytes ---- */

static bool same_bytes(const struct court *c, const struct inode_seen *in, const struct state *s, u64 off, u64 len)
{
	CLEANUP_FREE u8 *buf = xmalloc(len + 1);

	return !len || (!image_bytes(c->s, in->ino, off, buf, len) && !memcmp(buf, s->data + off, len));
}

/* Bytes that were evicted, or that never came: only zeros, and no content of the workload is so. */
static bool is_hole(const struct court *c, const struct inode_seen *in, u64 off, u64 len)
{
	CLEANUP_FREE u8 *buf = xmalloc(len + 1);

	if (!len || image_bytes(c->s, in->ino, off, buf, len))
		return false;
	return !buf[0] && !memcmp(buf, buf + 1, len - 1);
}

static void false_claim(struct court *c, const struct inode_seen *in, u64 off, u64 len, const char *what)
{
	c->v->punched += is_hole(c, in, off, len);
	complain(c, &c->v->false_claims, in, name_of(c, in), what);
}

static bool same_link(const struct court *c, const struct inode_seen *in, const struct state *s)
{
	struct ext2_inode raw;

	if (in->size != s->size || ext2fs_read_inode(c->s->fs, in->ino, &raw))
		return false;
	if (ext2fs_is_fast_symlink(&raw))
		return !memcmp(raw.i_block, s->data, s->size);
	return same_bytes(c, in, s, 0, s->size);
}

/* All of it is of one of the states that its record may mean. */
static bool whole(const struct court *c, const struct inode_seen *in)
{
	const struct augur_rec *r = &in->rec;
	const struct state *s;
	size_t from = 0;

	while ((s = state_by_ctime(c->e->st, r->oid, r->ctime_sec, r->ctime_nsec, r->size, &from))) {
		if (s->type == 'f' && S_ISREG(in->mode) && in->size == s->size && same_bytes(c, in, s, 0, s->size))
			return true;
		if (s->type == 'l' && S_ISLNK(in->mode) && same_link(c, in, s))
			return true;
	}
	return false;
}

static void judge_complete(struct court *c, const struct inode_seen *in)
{
	const struct row_seen *r;

	if (!in->valid || !(in->rec.flags & AUGUR_REC_COMPLETE) || S_ISDIR(in->mode))
		return;
	c->v->claims++;
	if (whole(c, in))
		return;
	r = match(c, in);
	if (r && !r->tag)
		return;		/* too young to be believed: asked again */
	false_claim(c, in, 0, S_ISREG(in->mode) ? in->size : 0, "complete, and is not what its record says");
}

static void judge_map(struct court *c, const struct row_seen *r)
{
	const struct state *s = r->tag && r->bits ? state_by_tag(c->e->st, r->oid, r->tag) : NULL;
	const struct inode_seen *in = NULL;
	u64 chunks = augur_chunks(r->size, r->shift), size = (u64)1 << r->shift;

	for (size_t i = 0; i < c->s->ninode && !in; i++)
		if (is_fh(&c->s->inode[i], &r->fh))
			in = &c->s->inode[i];
	if (!r->bits || !r->tag || !in)
		return;
	for (u64 k = 0; k < chunks; k++) {
		u64 off = k << r->shift, len = min(size, r->size - off);

		if (!augur_map_test(r->bits, k))
			continue;
		c->v->claims++;
		if (!s || s->type != 'f' || in->size != s->size || !same_bytes(c, in, s, off, len)) {
			false_claim(c, in, off, min(len, in->size - min(in->size, off)), "the index claims a chunk that is not there");
			return;
		}
	}
}

/* ---- names ---- */

static const struct inode_seen *at_name(const struct court *c, size_t dir, const char *name)
{
	for (size_t i = 0; i < c->s->nname; i++)
		if (c->s->name[i].dir == dir && !strcmp(c->s->name[i].name, name))
			return &c->s->inode[c->s->name[i].inode];
	return NULL;
}

static bool has_name(const struct state *s, const char *name)
{
	for (size_t i = 0; i < s->nnames; i++)
		if (!strcmp(s->names[i].name, name))
			return true;
	return false;
}

static void judge_names(struct court *c, const struct inode_seen *dir, const struct state *s)
{
	size_t d = dir - c->s->inode;

	for (size_t i = 0; i < s->nnames; i++) {
		const struct inode_seen *in = at_name(c, d, s->names[i].name);

		c->v->names++;
		if (!in)
			complain(c, &c->v->names_lost, dir, s->names[i].name, "the directory says complete, a name is not there");
		else if (trusted(c, in) && memcmp(in->rec.oid, s->names[i].oid, AUGUR_OID_LEN))
			complain(c, &c->v->names_lost, in, s->names[i].name, "another object is at a name");
	}
	for (size_t i = 0; i < c->s->nname; i++) {
		const struct name_seen *n = &c->s->name[i];

		if (n->dir == d && trusted(c, &c->s->inode[n->inode]) && !has_name(s, n->name))
			complain(c, &c->v->names_lost, &c->s->inode[n->inode], n->name, "a name the directory does not have");
	}
}

static void judge_dir(struct court *c, const struct inode_seen *dir)
{
	const struct row_seen *r = match(c, dir);
	const struct augur_rec *rec = &dir->rec;
	const struct state *s;

	if (!S_ISDIR(dir->mode) || !trusted(c, dir) || !(rec->flags & AUGUR_REC_COMPLETE) || !r || !r->tag)
		return;
	s = state_by_tag(c->e->st, r->oid, r->tag);
	/* Of a state that is over: the owner will say so. */
	if (!s || s->ctime_sec != rec->ctime_sec || s->ctime_nsec != rec->ctime_nsec)
		return;
	judge_names(c, dir, s);
}

/* Nothing is asked after a clean end: what is of a state that was over then, is served for ever. */
static void judge_over(struct court *c, const struct inode_seen *in)
{
	const struct augur_rec *r = &in->rec;
	const struct state *s;
	size_t from = 0;

	if (!c->s->clean || !trusted(c, in) || (S_ISDIR(in->mode) && !(r->flags & AUGUR_REC_COMPLETE)))
		return;
	c->v->names++;
	while ((s = state_by_ctime(c->e->st, r->oid, r->ctime_sec, r->ctime_nsec, r->size, &from)))
		if (!state_over(c->e->st, s, c->e->acked))
			return;
	complain(c, &c->v->names_lost, in, name_of(c, in), "trusted, and of a state that was over");
}

/*
 * The owner is asked about rows: it calls a new row current, whatever inode is there, and it is
 * not asked about an inode without one.  Never so where all is compared first.
 */
static void judge_row(struct court *c, const struct inode_seen *in)
{
	const struct row_seen *r = in->valid ? row_of(c, in) : NULL;
	const struct augur_rec *rec = &in->rec;
	const struct state *is, *says;
	size_t from = 0;

	if (c->s->clean || c->e->checked || !trusted(c, in) || in == c->s->inode)
		return;
	if (!r) {
		complain(c, &c->v->names_lost, in, name_of(c, in), "nobody asks about it");
		return;
	}
	is = state_by_ctime(c->e->st, rec->oid, rec->ctime_sec, rec->ctime_nsec, rec->size, &from);
	says = state_by_tag(c->e->st, r->oid, r->tag);
	if (is && says && says->no > is->no && (!S_ISDIR(in->mode) || (rec->flags & AUGUR_REC_COMPLETE)))
		complain(c, &c->v->names_lost, in, name_of(c, in), "an old state under a new row");
}

/* An object with several names has one inode; another one still at a name has to say stale. */
static void judge_single(struct court *c, const struct inode_seen *in)
{
	if (S_ISDIR(in->mode) || !in->valid || (in->rec.flags & AUGUR_REC_STALE) || in->rec.nlink < 2)
		return;
	for (const struct inode_seen *o = in + 1; o < c->s->inode + c->s->ninode; o++)
		if (o->valid && !(o->rec.flags & AUGUR_REC_STALE) && !memcmp(o->rec.oid, in->rec.oid, AUGUR_OID_LEN))
			complain(c, &c->v->names_lost, in, name_of(c, in), "two inodes of one object, neither of them stale");
}

void judge(struct seen *s, const struct evidence *e, struct verdict *v)
{
	struct court c = { s, e, v };

	for (size_t i = 0; i < s->ninode; i++) {
		judge_complete(&c, &s->inode[i]);
		judge_dir(&c, &s->inode[i]);
		judge_over(&c, &s->inode[i]);
		judge_single(&c, &s->inode[i]);
		judge_row(&c, &s->inode[i]);
	}
	for (size_t i = 0; i < s->nrow; i++)
		judge_map(&c, &s->row[i]);
	judge_pins(s, e, v);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * listing.c - a directory's file: readdir from a translated listing.
 *
 * The numbers readdir reports must be those stat reports, and those are in the records of
 * the entries; so the lower directory is read once, its entries' records are looked at, and
 * name, type and number are kept in one block.  The cache on the inode holds a reference,
 * and so does every open file that has begun to read: a position is an index into that
 * block, so an iteration is not disturbed by names that come, go, or a listing that is
 * dropped.  Position 0 takes the current one.
 *
 * Cached listings are on one list for the shrinker.  Locks: listings_lock is outside
 * augur_inode.lock; neither is held while memory is freed.
 */
#include <linux/file.h>
#include <linux/fs_types.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include "augurfs.h"

struct listing_entry {
	u64	ino;
	u8	type;		/* DT_* */
	u8	len;
	char	name[];
};

struct augur_listing {
	struct kref		ref;
	struct list_head	lru;		/* listings, while cached */
	struct augur_inode	*owner;		/* valid while on the list */
	bool			used;		/* since the shrinker last looked */
	u8			*block;		/* listing_entry after listing_entry, 8-aligned */
	size_t			bytes;		/* of block */
	u32			*start;		/* count offsets into block */
	u32			count;
	u32			subdirs;	/* among them */
	struct rcu_head		rcu;
};

static LIST_HEAD(listings);
static DEFINE_SPINLOCK(listings_lock);
static atomic_long_t listings_kb;

static size_t entry_size(size_t len)
{
	return ALIGN(offsetof(struct listing_entry, name) + len, 8);
}

static long listing_kb(const struct augur_listing *l)
{
	return (l->bytes + l->count * sizeof(*l->start)) / 1024 + 1;
}

static void listing_free(struct kref *ref)
{
	struct augur_listing *l = container_of(ref, struct augur_listing, ref);

	kvfree(l->block);
	kvfree(l->start);
	kfree_rcu(l, rcu);
	augur_live_dec();
}

static void listing_put(struct augur_listing *l)
{
	if (l)
		kref_put(&l->ref, listing_free);
}

static struct augur_listing *listing_get(struct augur_inode *ai)
{
	struct augur_listing *l;

	rcu_read_lock();
	l = rcu_dereference(ai->listing);
	if (l && !kref_get_unless_zero(&l->ref))
		l = NULL;
	rcu_read_unlock();
	if (l)
		WRITE_ONCE(l->used, true);
	return l;
}

/* -------- building -------- */

struct builder {
	struct dir_context	ctx;
	u8			*block;
	size_t			used, size;
	u32			count;
	int			err;
	bool			complete;	/* the directory was, before its names were read */
};

static bool builder_grow(struct builder *b, size_t need)
{
	size_t size = max_t(size_t, b->size * 2, 4096);
	u8 *block;

	if (b->used + need <= b->size)
		return true;
	/* Offsets are 32 bit. */
	block = size > INT_MAX ? NULL : kvmalloc(size, GFP_KERNEL);
	if (!block) {
		b->err = -ENOMEM;
		return false;
	}
	if (b->used)
		memcpy(block, b->block, b->used);
	kvfree(b->block);
	b->block = block;
	b->size = size;
	return true;
}

/* The lower directory is locked here: names only. */
static bool add_name(struct dir_context *ctx, const char *name, int len, loff_t off, u64 ino,
		     unsigned int type)
{
	struct builder *b = container_of(ctx, struct builder, ctx);
	struct listing_entry *e;

	if (augur_name_check(name, len))
		return true;
	if (!builder_grow(b, entry_size(len)))
		return false;
	e = (struct listing_entry *)(b->block + b->used);
	e->ino = ino;
	e->type = type;
	e->len = len;
	memcpy(e->name, name, len);
	b->used += entry_size(len);
	b->count++;
	return true;
}

static int read_names(struct augur_sb *asb, struct dentry *lower, struct builder *b)
{
	struct file *file = augur_lower_open_dir(asb, lower);
	loff_t pos;
	int err;

	if (IS_ERR(file))
		return PTR_ERR(file);
	do {
		pos = b->ctx.pos;
		err = iterate_dir(file, &b->ctx);
		if (!err)
			err = b->err;
	} while (!err && b->ctx.pos != pos && !fatal_signal_pending(current));
	fput(file);
	if (!err && fatal_signal_pending(current))
		err = -EINTR;
	return err;
}

/*
 * The file that was listed with the number @ino, or NULL.  Is the number still its own?  In a directory
 * that is complete the daemon makes and unmakes no name, and what makes it incomplete raises the
 * generation; SWITCH and REMOVE hold the old inode until they have raised it.
 */
static struct dentry *by_number(struct dentry *dir, u64 ino, unsigned long gen)
{
	struct dentry *lower = augur_lower_by_ino(AUGUR_SB(dir->d_sb), ino);

	if (lower && d_is_reg(lower) && augur_name_gen(d_inode(dir)) == gen)
		return lower;
	dput(lower);
	return NULL;
}

/*
 * Number and type of an entry: 1, 0 if the name does not exist (yet), or -errno.  @dir is the
 * upper directory, @gen its augur_name_gen() of before its names were read.
 */
static int translate(struct dentry *dir, struct dentry *lower_dir, struct listing_entry *e,
		     unsigned long gen, bool complete)
{
	struct augur_sb *asb = AUGUR_SB(dir->d_sb);
	struct qstr name = QSTR_INIT(e->name, e->len);
	struct dentry *lower;
	struct augur_rec rec;
	bool ahead = augur_names_ahead(asb);
	umode_t mode;
	int err = -ENODATA;

	name.hash = full_name_hash(dir, name.name, name.len);
	if (augur_name_known(dir, &name, &e->ino, &mode)) {
		e->type = fs_umode_to_dtype(mode);
		return 1;
	}
	lower = ahead && complete && e->type == DT_REG ? by_number(dir, e->ino, gen) : NULL;
	if (!lower)
		lower = augur_lower_lookup(asb, lower_dir, &name);
	if (IS_ERR(lower))
		return PTR_ERR(lower);
	if (d_is_positive(lower))
		err = augur_lower_record(d_inode(lower), lower, &rec);
	if (!err) {
		e->ino = augur_oid_ino(rec.oid);
		e->type = fs_umode_to_dtype(d_inode(lower)->i_mode);
		if (ahead)
			augur_name_ahead(dir, &name, lower, &rec, gen);
	}
	dput(lower);
	if (augur_not_a_record(err))
		return 0;
	return err ?: 1;
}

/*
 * Second pass, of the locks only the upper directory's held, shared: looks at each entry and closes
 * the gaps of those left out.
 */
static int translate_all(struct dentry *dir, struct dentry *lower, struct builder *b,
			 struct augur_listing *l, unsigned long gen)
{
	size_t in = 0, out = 0, size;
	struct listing_entry *e;
	int ret;

	while (in < b->used) {
		e = (struct listing_entry *)(b->block + in);
		size = entry_size(e->len);
		ret = translate(dir, lower, e, gen, b->complete);
		if (ret < 0)
			return ret;
		if (ret) {
			l->start[l->count++] = out;
			l->subdirs += e->type == DT_DIR;
			if (in != out)
				memmove(b->block + out, e, size);
			out += size;
		}
		in += size;
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	l->bytes = out;
	return 0;
}

static struct augur_listing *listing_alloc(struct builder *b)
{
	struct augur_listing *l = kzalloc(sizeof(*l), GFP_KERNEL);

	if (!l)
		return NULL;
	l->start = kvmalloc_array(b->count ?: 1, sizeof(*l->start), GFP_KERNEL);
	if (!l->start) {
		kfree(l);
		return NULL;
	}
	augur_live_inc();
	kref_init(&l->ref);
	INIT_LIST_HEAD(&l->lru);
	return l;
}

static struct augur_listing *listing_build(struct dentry *dir, struct dentry *lower)
{
	unsigned long gen = augur_name_gen(d_inode(dir));
	struct augur_sb *asb = AUGUR_SB(dir->d_sb);
	struct builder b = { .ctx.actor = add_name };
	struct augur_listing *l = NULL;
	int err;

	/* After the generation was read: as long as that holds it stays complete. */
	smp_rmb();
	b.complete = augur_is_complete(d_inode(dir));
	err = read_names(asb, lower, &b);
	if (!err) {
		l = listing_alloc(&b);
		err = l ? translate_all(dir, lower, &b, l, gen) : -ENOMEM;
	}
	if (l)
		l->block = b.block;
	else
		kvfree(b.block);
	if (!err) {
		augur_stat_inc(asb, listings_built);
		return l;
	}
	listing_put(l);
	return ERR_PTR(err);
}

/* -------- the cache -------- */

/* Keeps @l for the next reader unless names changed since @gen or another was faster. */
static void listing_keep(struct augur_inode *ai, struct augur_listing *l, u64 gen)
{
	bool kept = false;

	spin_lock(&listings_lock);
	spin_lock(&ai->lock);
	if (ai->dir_gen == gen && !rcu_access_pointer(ai->listing)) {
		l->owner = ai;
		kref_get(&l->ref);
		rcu_assign_pointer(ai->listing, l);
		list_add_tail(&l->lru, &listings);
		atomic_long_add(listing_kb(l), &listings_kb);
		kept = true;
	}
	spin_unlock(&ai->lock);
	spin_unlock(&listings_lock);
	if (kept)
		WRITE_ONCE(l->used, true);
}

/* Takes the cached listing off inode and list; its reference passes to the caller. */
static struct augur_listing *listing_unhook(struct augur_inode *ai)
{
	struct augur_listing *l;

	lockdep_assert_held(&listings_lock);
	lockdep_assert_held(&ai->lock);
	l = rcu_dereference_protected(ai->listing, true);
	if (l) {
		RCU_INIT_POINTER(ai->listing, NULL);
		list_del_init(&l->lru);
		atomic_long_sub(listing_kb(l), &listings_kb);
	}
	return l;
}

void augur_dir_incomplete(struct inode *dir)
{
	struct augur_inode *ai = AUGUR_I(dir);

	spin_lock(&ai->lock);
	augur_state_change(ai, 0, AUGUR_IS_COMPLETE);
	spin_unlock(&ai->lock);
	augur_dir_changed(dir);
}

void augur_dir_changed(struct inode *dir)
{
	struct augur_inode *ai = AUGUR_I(dir);
	struct augur_listing *l;

	spin_lock(&listings_lock);
	spin_lock(&ai->lock);
	WRITE_ONCE(ai->dir_gen, ai->dir_gen + 1);
	l = listing_unhook(ai);
	spin_unlock(&ai->lock);
	spin_unlock(&listings_lock);
	listing_put(l);
}

void augur_listing_free(struct inode *dir)
{
	struct augur_inode *ai = AUGUR_I(dir);
	struct augur_listing *l;

	if (!S_ISDIR(dir->i_mode))
		return;
	spin_lock(&listings_lock);
	spin_lock(&ai->lock);
	l = listing_unhook(ai);
	spin_unlock(&ai->lock);
	spin_unlock(&listings_lock);
	listing_put(l);
}

unsigned long augur_listings_count(void)
{
	return max(atomic_long_read(&listings_kb), 0L);
}

/* The oldest that nobody read since the last look, with its reference; NULL: none. */
static struct augur_listing *oldest_unused(void)
{
	struct augur_listing *l, *next, *found = NULL;
	int looks = 64;

	spin_lock(&listings_lock);
	list_for_each_entry_safe(l, next, &listings, lru) {
		if (!looks--)
			break;
		if (READ_ONCE(l->used)) {
			WRITE_ONCE(l->used, false);
			list_move_tail(&l->lru, &listings);
			continue;
		}
		/* On the list, so its inode has not been through evict_inode. */
		spin_lock(&l->owner->lock);
		found = listing_unhook(l->owner);
		spin_unlock(&l->owner->lock);
		break;
	}
	spin_unlock(&listings_lock);
	return found;
}

unsigned long augur_listings_shrink(unsigned long nr_kb)
{
	struct augur_listing *l;
	unsigned long freed = 0;

	while (freed < nr_kb) {
		l = oldest_unused();
		if (!l)
			break;
		freed += listing_kb(l);
		listing_put(l);
	}
	return freed;
}

/* -------- the directory's file -------- */

static struct augur_listing *current_listing(struct dentry *dentry)
{
	struct inode *dir = d_inode(dentry);
	struct augur_inode *ai = AUGUR_I(dir);
	struct augur_listing *l = listing_get(ai);
	struct dentry *lower;
	u64 gen;
	int err;

	if (l)
		return l;
	/* Before asking: what is said while we wait makes this listing nobody else's. */
	gen = READ_ONCE(ai->dir_gen);
	if (!augur_is_complete(dir)) {
		err = augur_upcall_populate(dir);
		if (err)
			return ERR_PTR(err);
	}
	lower = augur_lower_dentry(dentry);
	if (!lower)
		return ERR_PTR(-ESTALE);
	l = listing_build(dentry, lower);
	if (!IS_ERR(l) && augur_is_complete(dir))
		listing_keep(ai, l, gen);
	return l;
}

/* Who looks up names one by one is better served with all of them. */
void augur_list_ahead(struct dentry *dir)
{
	struct augur_listing *l = current_listing(dir);

	if (!IS_ERR(l))		/* nobody asked for it */
		listing_put(l);
}

/* private_data is serialised by the position lock, which the VFS takes for directories. */
static struct augur_listing *listing_for(struct file *file, struct dir_context *ctx)
{
	struct augur_listing *l = file->private_data;
	struct inode *dir = file_inode(file);

	if (l && ctx->pos)
		return l;
	l = current_listing(file_dentry(file));
	if (IS_ERR(l))
		return l;
	listing_put(file->private_data);
	file->private_data = l;
	augur_stat_inc(AUGUR_SB(dir->i_sb), readdirs);
	augur_event_readdir(dir, l->count, l->subdirs);
	return l;
}

static int augur_iterate(struct file *file, struct dir_context *ctx)
{
	struct augur_listing *l = listing_for(file, ctx);
	const struct listing_entry *e;

	if (IS_ERR(l))
		return PTR_ERR(l);
	if (!dir_emit_dots(file, ctx))
		return 0;
	/* Positions 0 and 1 were "." and "..". */
	while (ctx->pos - 2 < l->count) {
		e = (const struct listing_entry *)(l->block + l->start[ctx->pos - 2]);
		if (!dir_emit(ctx, e->name, e->len, e->ino, e->type))
			break;
		ctx->pos++;
	}
	return 0;
}

static int augur_dir_release(struct inode *dir, struct file *file)
{
	listing_put(file->private_data);
	return 0;
}

const struct file_operations augur_dir_fops = {
	.iterate_shared	= augur_iterate,
	.llseek		= generic_file_llseek,
	.read		= generic_read_dir,
	.fsync		= noop_fsync,
	.release	= augur_dir_release,
	.setlease	= generic_setlease,
};

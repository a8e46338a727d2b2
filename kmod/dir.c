// SPDX-License-Identifier: GPL-2.0-only
/*
 * dir.c - names: lookup, the validity of cached names, and the directories' files.
 *
 * The lower directory is the truth about names that are here; a lower name whose inode has
 * no valid record does not exist yet.  What is not here, or is marked stale there, is asked
 * of the daemon by name, unless the directory is complete; then the lower directory is
 * looked at again.  So a cached name is good as long as nothing was said about its parent:
 * d_time holds augur_name_gen() of when it was looked up, and a path walk compares two
 * numbers.  When they differ, a positive name is compared with the lower directory.  A
 * negative one is believed for neg_ttl_ms, or as long as the lease of its directory holds; of
 * a mount no more than neg_max are kept.
 *
 * The upper directory's i_rwsem may be held across an upcall.  The listings are in
 * listing.c.
 */
#include <linux/jiffies.h>
#include "augurfs.h"

#define LOOKUP_TRIES	3	/* versions that may change while one name is looked up */
#define OPEN_TRIES	20	/* versions that may go before one is opened */
#define AHEAD_JIFFIES	HZ	/* names are looked up with their listing so long after a lookup */
#define LOOKED_BYTES	1024	/* of a lower directory: a lookup in it for each, and it is listed */
#define LOOKED_DIR_MAX	(16 * LOOKED_BYTES)

/* -------- validity -------- */

static bool negative_holds(struct inode *dir, const struct dentry *dentry)
{
	struct augur_sb *asb = AUGUR_SB(dir->i_sb);
	u32 born = (unsigned long)READ_ONCE(dentry->d_fsdata) >> 32;
	u32 age = (u32)get_jiffies_64() - born;	/* no ttl takes a hundredth of 32 bits */

	return age < msecs_to_jiffies(augur_opt(asb, neg_ttl_ms)) ||
	       augur_lease_holds(asb, READ_ONCE(AUGUR_I(dir)->pu));
}

static bool name_holds(struct inode *dir, const struct dentry *dentry, const struct inode *inode)
{
	if (READ_ONCE(dentry->d_time) != augur_name_gen(dir))
		return false;
	if (inode)
		return !(READ_ONCE(AUGUR_I(inode)->state) & AUGUR_IS_STALE);
	return negative_holds(dir, dentry);
}

/* Is @lower still the entry @name of @dir, and the inode still the one we show? */
static bool lower_is_same(struct dentry *lower, const struct dentry *dir, const struct qstr *name,
			  const struct inode *inode)
{
	bool same;

	spin_lock(&lower->d_lock);
	same = !d_unhashed(lower) && lower->d_parent == dir && d_inode(lower) == inode &&
	       lower->d_name.len == name->len &&
	       !memcmp(lower->d_name.name, name->name, name->len);
	spin_unlock(&lower->d_lock);
	return same;
}

/* The same of a file that was found by its number, whose lower dentry knows no name or another one. */
static bool lower_leads_to(struct augur_sb *asb, struct dentry *dir, const struct qstr *name,
			   const struct inode *inode)
{
	struct dentry *lower = augur_lower_lookup(asb, dir, name);
	bool same;

	if (IS_ERR(lower))
		return false;
	same = d_inode(lower) == inode;
	dput(lower);
	return same;
}

/* Something was said about the directory: does the lower one still have the name? */
static bool name_is_same(struct dentry *parent, struct dentry *dentry)
{
	struct dentry *lower_dir = augur_lower_dentry(parent);
	struct dentry *lower = augur_lower_dentry(dentry);
	unsigned long gen = augur_name_gen(d_inode(parent));
	struct inode *inode = d_inode(dentry);
	struct name_snapshot name;
	struct augur_rec rec;
	bool same;

	if (!inode || !lower || !lower_dir ||
	    (READ_ONCE(AUGUR_I(inode)->state) & AUGUR_IS_STALE))
		return false;
	take_dentry_name_snapshot(&name, dentry);
	same = lower_is_same(lower, lower_dir, &name.name, AUGUR_I(inode)->lower) ||
	       (S_ISREG(inode->i_mode) &&
		lower_leads_to(AUGUR_SB(inode->i_sb), lower_dir, &name.name, AUGUR_I(inode)->lower));
	release_dentry_name_snapshot(&name);
	/* The name may be another's at the owner though it is unchanged here. */
	if (same)
		same = !augur_lower_record(AUGUR_I(inode)->lower, lower, &rec) &&
		       !(rec.flags & AUGUR_REC_STALE);
	if (same)
		WRITE_ONCE(dentry->d_time, gen);
	return same;
}

/*
 * Is the name looked up for a second open, the first having found that its version is gone?  To
 * O_CREAT the directory is locked alone, no place to wait for bytes.
 */
static bool opens_again(unsigned int flags)
{
	return (flags & (LOOKUP_OPEN | LOOKUP_REVAL | LOOKUP_CREATE)) ==
	       (LOOKUP_OPEN | LOOKUP_REVAL);
}

/* A path walk under RCU gets an answer at once or is sent the slow way. */
static int AUGUR_D_REVALIDATE(augur_d_revalidate, dentry, flags)
{
	struct dentry *parent = READ_ONCE(dentry->d_parent);
	struct inode *dir = d_inode_rcu(parent);
	int good;

	if (flags & LOOKUP_RCU) {
		if (likely(dir && name_holds(dir, dentry, d_inode_rcu(dentry))))
			return 1;
		return -ECHILD;
	}
	parent = dget_parent(dentry);
	good = name_holds(d_inode(parent), dentry, d_inode(dentry)) ||
	       name_is_same(parent, dentry);
	dput(parent);
	if (good && opens_again(flags) && d_is_positive(dentry) &&
	    augur_open_again(d_inode(dentry)))
		good = 0;
	return good;
}

/* -------- the ring of negative names -------- */

static_assert(sizeof(unsigned long) == sizeof(u64), "d_fsdata holds a time and a place");

int augur_negatives_init(struct augur_sb *asb)
{
	spin_lock_init(&asb->neg_lock);
	asb->listed_lookup = jiffies - AHEAD_JIFFIES;
	asb->neg_ring = kvcalloc(augur_opt(asb, neg_max), sizeof(*asb->neg_ring), GFP_KERNEL);
	return asb->neg_ring ? 0 : -ENOMEM;
}

void augur_negatives_exit(struct augur_sb *asb)
{
	kvfree(asb->neg_ring);
	asb->neg_ring = NULL;
}

/*
 * Takes the next place; who had it is looked up again by whoever wants it.  An entry leaves the
 * ring before its memory goes, so under the lock it may be looked at, dying or not.
 */
static void negative_add(struct augur_sb *asb, struct dentry *dentry)
{
	u64 now = get_jiffies_64();
	struct dentry *old;
	u32 place;

	spin_lock(&asb->neg_lock);
	place = asb->neg_next++ & (augur_opt(asb, neg_max) - 1);
	old = asb->neg_ring[place];
	if (old && !lockref_get_not_dead(&old->d_lockref))
		old = NULL;
	asb->neg_ring[place] = dentry;
	WRITE_ONCE(dentry->d_fsdata, (void *)(now << 32 | (u64)place << 1 | AUGUR_NEG));
	spin_unlock(&asb->neg_lock);
	if (!old)
		return;
	augur_stat_inc(asb, negatives_dropped);
	d_drop(old);
	dput(old);
}

static void negative_del(struct augur_sb *asb, struct dentry *dentry)
{
	u32 place = (u32)(unsigned long)dentry->d_fsdata >> 1;

	spin_lock(&asb->neg_lock);
	if (asb->neg_ring[place] == dentry)
		asb->neg_ring[place] = NULL;
	spin_unlock(&asb->neg_lock);
}

static void augur_d_release(struct dentry *dentry)
{
	if ((unsigned long)dentry->d_fsdata & AUGUR_NEG)
		negative_del(AUGUR_SB(dentry->d_sb), dentry);
	else
		dput(augur_lower_dentry(dentry));
}

/* For those who hold a lower file with our path, or want the inode that has the pages. */
static struct dentry *AUGUR_D_REAL(augur_d_real, dentry)
{
	struct dentry *lower = augur_lower_dentry(dentry);

	if (!lower || AUGUR_D_REAL_WANTS_UPPER(dentry))
		return dentry;
	return lower;
}

const struct dentry_operations augur_dentry_ops = {
	.d_revalidate	= augur_d_revalidate,
	.d_release	= augur_d_release,
	.d_real		= augur_d_real,
};

/* -------- lookup -------- */

/* A name as the lower directory has it now. */
struct found {
	struct dentry		*lower;		/* positive, with a valid record; or NULL */
	struct augur_rec	rec;
};

static int find_lower(struct augur_sb *asb, struct dentry *dir, const struct qstr *name,
		      struct found *f)
{
	struct dentry *lower = augur_lower_lookup(asb, dir, name);
	int err;

	f->lower = NULL;
	if (IS_ERR(lower))
		return PTR_ERR(lower);
	err = -ENODATA;
	if (d_is_positive(lower))
		err = augur_lower_record(d_inode(lower), lower, &f->rec);
	if (!err) {
		f->lower = lower;
		return 0;
	}
	dput(lower);
	if (err == -EPROTONOSUPPORT)
		augur_warn(asb, "a record in the cache has a newer format: update the module");
	return augur_not_a_record(err) ? 0 : err;
}

static void drop_found(struct found *f)
{
	dput(f->lower);
	f->lower = NULL;
}

/* By its record, or because its inode was found to be while the record did not say so yet. */
static bool is_stale(struct super_block *sb, const struct found *f)
{
	return (f->rec.flags & AUGUR_REC_STALE) ||
	       augur_known_stale(sb, d_inode(f->lower), &f->rec);
}

static bool must_ask(struct inode *dir, const struct found *f)
{
	if (f->lower)
		return is_stale(dir->i_sb, f);
	return !augur_is_complete(dir);
}

/* No answer: may what is here be served? */
static bool serve_stale(struct augur_sb *asb, const struct found *f)
{
	if (!f->lower || augur_opt(asb, offline) != AUGUR_OFFLINE_RO ||
	    fatal_signal_pending(current))
		return false;
	augur_stat_inc(asb, opens_offline);
	return true;
}

/* Asks the daemon for the name: 1 look again, 0 @f says it all, or -errno. */
static int ask(struct augur_sb *asb, struct inode *dir, const struct qstr *name, struct found *f)
{
	int err;

	augur_event_lookup_miss(dir);
	/* "All names are here" was noted with the reply: now an INVAL may already undo it. */
	err = augur_upcall_lookup(dir, name, NULL);
	if (err && err != -ENOENT && serve_stale(asb, f))
		return 0;
	drop_found(f);
	if (err == -ENOENT)
		return 0;
	return err ?: 1;
}

/* 0 with f->lower set or (the name does not exist) NULL.  @doubt: what is here is not believed. */
static int find_name(struct augur_sb *asb, struct inode *dir, struct dentry *lower_dir,
		     const struct qstr *name, bool doubt, struct found *f)
{
	int err, tries;

	for (tries = 0; tries < LOOKUP_TRIES; tries++) {
		err = find_lower(asb, lower_dir, name, f);
		if (err || (!must_ask(dir, f) && !doubt))
			return err;
		doubt = false;
		err = ask(asb, dir, name, f);
		if (err <= 0)
			return err;
	}
	err = find_lower(asb, lower_dir, name, f);
	if (err || (f->lower && !is_stale(dir->i_sb, f)))
		return err;
	if (f->lower) {
		drop_found(f);
		return -ESTALE;
	}
	augur_warn(asb, "the daemon says that a name exists and the cache does not have it: see augur doctor");
	return -EIO;
}

static struct dentry *add_negative(struct dentry *dentry, unsigned long gen)
{
	negative_add(AUGUR_SB(dentry->d_sb), dentry);
	WRITE_ONCE(dentry->d_time, gen);
	return d_splice_alias(NULL, dentry);
}

/* Takes over the references to the inode and the lower dentry. */
static struct dentry *add_positive(struct dentry *dentry, struct inode *inode, struct found *f,
				   unsigned long gen)
{
	struct dentry *alias;

	dentry->d_fsdata = f->lower;
	WRITE_ONCE(dentry->d_time, gen);
	alias = d_splice_alias(inode, dentry);
	if (!IS_ERR_OR_NULL(alias))
		WRITE_ONCE(alias->d_time, gen);
	return alias;
}

/* The inode at the name as it is now, or NULL. */
static struct inode *find_inode(struct inode *dir, const struct dentry *dentry,
				struct dentry *lower_dir, bool doubt, struct found *f)
{
	struct inode *inode;
	int err;

	err = find_name(AUGUR_SB(dir->i_sb), dir, lower_dir, &dentry->d_name, doubt, f);
	if (err)
		return ERR_PTR(err);
	if (!f->lower)
		return NULL;
	inode = augur_iget_record(dir->i_sb, d_inode(f->lower), &f->rec);
	if (IS_ERR(inode))
		drop_found(f);
	return inode;
}

/*
 * The same for an open that has failed once: the VFS does not try a third time, so this looks
 * until it has a version that can be opened, for a while.  Each time the daemon is asked: the
 * inode that was found to be stale may be gone, and its record does not say so yet.  The
 * directory is locked shared, as over every lookup, and who brings bytes takes no lock of it.
 */
static struct inode *find_again(struct inode *dir, const struct dentry *dentry,
				struct dentry *lower_dir, struct found *f)
{
	u32 ms = augur_opt(AUGUR_SB(dir->i_sb), timeout_ms);
	unsigned long end = jiffies + msecs_to_jiffies(ms);
	struct inode *inode;
	int tries;

	for (tries = 0;; tries++) {
		bool last = tries == OPEN_TRIES || time_after(jiffies, end);

		inode = find_inode(dir, dentry, lower_dir, true, f);
		if (inode == ERR_PTR(-ESTALE) && !last)
			continue;
		if (IS_ERR_OR_NULL(inode) || last || !augur_open_again(inode))
			return inode;
		drop_found(f);
		iput(inode);
	}
}

/*
 * A name of @parent was looked up; its dentry is hashed.  Who looks up many of a directory's names
 * one by one, as git does, gets the others for half with the listing: after one lookup for each
 * LOOKED_BYTES of the directory, of which a name takes 12 at least, more are likely to follow.  So
 * what is brought for nobody costs a few times what was paid, and of large directories nothing.
 */
static void looked_up_one(struct dentry *parent)
{
	struct inode *dir = d_inode(parent);
	struct augur_sb *asb = AUGUR_SB(dir->i_sb);
	struct augur_inode *ai = AUGUR_I(dir);
	u32 looked;

	if (rcu_access_pointer(ai->listing)) {
		WRITE_ONCE(asb->listed_lookup, jiffies);
		return;
	}
	if (!asb->lower_by_ino || i_size_read(ai->lower) > LOOKED_DIR_MAX)
		return;
	looked = READ_ONCE(ai->looked) + 1;
	if (looked * LOOKED_BYTES < i_size_read(ai->lower) || !augur_is_complete(dir)) {
		WRITE_ONCE(ai->looked, looked);
		return;
	}
	WRITE_ONCE(ai->looked, 0);
	WRITE_ONCE(asb->listed_lookup, jiffies);
	augur_list_ahead(parent);
}

struct dentry *augur_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags)
{
	struct augur_sb *asb = AUGUR_SB(dir->i_sb);
	struct dentry *parent = dentry->d_parent;
	struct dentry *lower_dir = augur_lower_dentry(parent);
	/* Before looking: what is said meanwhile makes the name be looked at again. */
	unsigned long gen = augur_name_gen(dir);
	struct inode *inode;
	struct found f;

	if (dentry->d_name.len > AUGUR_NAME_MAX)
		return ERR_PTR(-ENAMETOOLONG);
	if (!lower_dir)
		return ERR_PTR(-ESTALE);
	augur_stat_inc(asb, lookups);
	if (opens_again(flags))
		inode = find_again(dir, dentry, lower_dir, &f);
	else
		inode = find_inode(dir, dentry, lower_dir, false, &f);
	if (IS_ERR(inode))
		return ERR_CAST(inode);
	if (inode) {
		dentry = add_positive(dentry, inode, &f, gen);
		/* After an error it is still in lookup, and a listing would wait for it. */
		if (!IS_ERR(dentry))
			looked_up_one(parent);
		return dentry;
	}
	augur_stat_inc(asb, lookups_negative);
	return add_negative(dentry, gen);
}

/* -------- with the listing -------- */

bool augur_name_known(struct dentry *dir, const struct qstr *name, u64 *ino, umode_t *mode)
{
	struct dentry *dentry = d_lookup(dir, name);
	struct inode *inode;
	bool known;

	if (!dentry)
		return false;
	inode = d_inode(dentry);
	known = inode && name_holds(d_inode(dir), dentry, inode);
	if (known) {
		*ino = inode->i_ino;
		*mode = inode->i_mode;
	}
	dput(dentry);
	return known;
}

/* Takes over the reference to @inode. */
static void add_ahead(struct dentry *dir, const struct qstr *name, struct inode *inode,
		      struct dentry *lower, unsigned long gen)
{
	DECLARE_WAIT_QUEUE_HEAD_ONSTACK(wq);
	struct dentry *dentry = d_alloc_parallel(dir, name, &wq), *alias;
	struct found f = { .lower = lower };

	if (IS_ERR(dentry) || !d_in_lookup(dentry)) {
		iput(inode);
		if (!IS_ERR(dentry))
			dput(dentry);
		return;
	}
	dget(lower);
	alias = add_positive(dentry, inode, &f, gen);
	d_lookup_done(dentry);
	if (!IS_ERR_OR_NULL(alias))
		dput(alias);
	dput(dentry);
	augur_stat_inc(AUGUR_SB(dir->d_sb), lookups_ahead);
}

/* As in FUSE's readdirplus, which has the idea: only if somebody lately did what this is for. */
bool augur_names_ahead(struct augur_sb *asb)
{
	return time_before(jiffies, READ_ONCE(asb->listed_lookup) + AHEAD_JIFFIES);
}

void augur_name_ahead(struct dentry *dir, const struct qstr *name, struct dentry *lower,
		      const struct augur_rec *rec, unsigned long gen)
{
	struct inode *inode;

	if (rec->flags & AUGUR_REC_STALE)
		return;
	inode = augur_iget_record(dir->d_sb, d_inode(lower), rec);
	if (IS_ERR(inode))
		return;		/* who wants it is told why */
	if (READ_ONCE(AUGUR_I(inode)->state) & AUGUR_IS_STALE)
		iput(inode);
	else
		add_ahead(dir, name, inode, lower, gen);
}

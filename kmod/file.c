// SPDX-License-Identifier: GPL-2.0-only
/*
 * file.c - open regular files: every read is "present?", then the lower file's own read.
 *
 * An open asks for a valid lease and the mounter's right to the lower object, and from then
 * on stays with its version.  It waits for the bytes of a small file, which nobody may have any
 * more when they are read; what is absent of a large one may be gone.
 *
 * Where the lower filesystem's buffered read is the page cache's (plain), the open file looks
 * into the lower inode's pages itself, with its own read-ahead; a lower file is opened only
 * for what needs one: direct I/O, splice, mappings.  A complete file costs one look at its
 * state per read: no lock, no allocation, no change of credentials.  An incomplete one is read
 * in steps, each made present first; there the user's buffer is faulted in before the lower
 * file is touched, because it may itself be a mapping of absent bytes, and the lower
 * filesystem may hold the lock that the daemon needs to bring them.
 *
 * Read-only: the VFS refuses writers with EROFS before they get here.  There is no ioctl.
 * Only a complete file has holes and extents: of an incomplete one nobody here knows what is a
 * hole at the owner and what has not been brought.
 */
#include <linux/fadvise.h>
#include <linux/file.h>
#include <linux/pagemap.h>
#include <linux/pipe_fs_i.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include "augurfs.h"

#define READ_STEP	(1UL << 20)	/* of an incomplete file: one deadline each */
#define WANT_MIN	(128ULL << 10)
#define WANT_MAX	(8ULL << 20)
#define SMALL		(128ULL << 10)	/* the daemon brings such a file whole, too */

static struct kmem_cache *file_cache;

int augur_file_cache_init(void)
{
	file_cache = KMEM_CACHE(augur_file, SLAB_ACCOUNT);
	return file_cache ? 0 : -ENOMEM;
}

void augur_file_cache_exit(void)
{
	kmem_cache_destroy(file_cache);
}

/* -------- open -------- */

/* Eviction looks at the count under the same lock: it sees this open or this open sees it. */
static void opens_inc(struct augur_inode *ai)
{
	spin_lock(&ai->lock);
	atomic_inc(&ai->opens);
	spin_unlock(&ai->lock);
}

static u32 next_open_id(struct augur_sb *asb)
{
	u32 id;

	do {
		id = atomic_inc_return(&asb->open_ids);
	} while (!id);
	return id;
}

static unsigned int open_event_flags(const struct inode *inode, const struct file *file)
{
	unsigned int evf = 0;

	if (augur_is_complete(inode))
		evf |= AUGUR_EVF_HIT;
	if (file->f_flags & O_DIRECT)
		evf |= AUGUR_EVF_DIRECT;
	if (file->f_flags & __FMODE_EXEC)
		evf |= AUGUR_EVF_EXEC;
	return evf;
}

/* Do reads of @file go to the lower inode's pages without a lower file? */
static bool is_plain(const struct file *file)
{
	return file->f_mapping != file_inode(file)->i_mapping;
}

/* Must its filesystem be told of an open before its pages may be read? */
static bool needs_open(const struct inode *lower)
{
	return IS_DAX(lower) || IS_ENCRYPTED(lower) || IS_VERITY(lower);
}

/* The lower file of an open, opened by the first who needs it. */
struct file *augur_file_lower(struct file *file)
{
	struct augur_file *af = file->private_data;
	/* Pairs with the exchange below. */
	struct file *lower = smp_load_acquire(&af->lower), *other;

	if (lower)
		return lower;
	lower = augur_lower_open(file, AUGUR_I(file_inode(file))->lower);
	if (IS_ERR(lower))
		return lower;
	other = cmpxchg(&af->lower, NULL, lower);
	if (!other)
		return lower;
	fput(lower);
	return other;
}

/* Says how @file will be read: by the lower inode's pages, or through a lower file. */
static int open_lower(struct augur_sb *asb, struct file *file, struct inode *lower)
{
	struct file *f;

	if (asb->plain && !needs_open(lower)) {
		file->f_mapping = lower->i_mapping;
		file->f_mode |= FMODE_NOWAIT;
		if (!(file->f_flags & O_DIRECT))
			return augur_lower_may_read(asb, lower);
	}
	f = augur_file_lower(file);
	if (IS_ERR(f))
		return PTR_ERR(f);
	file->f_mode |= f->f_mode & (FMODE_CAN_ODIRECT | FMODE_NOWAIT);
	return 0;
}

/*
 * The bytes of a small file, for an open of it; af may be NULL.  -ESTALE: that version is gone,
 * and the name is to be looked up again.  Nothing else keeps a file from being opened: its
 * reads will say what is wrong.
 */
static int bring_small(struct inode *inode, struct augur_file *af)
{
	struct augur_sb *asb = AUGUR_SB(inode->i_sb);
	u64 size = i_size_read(inode);
	int err;

	if (augur_is_complete(inode) || size > SMALL || !READ_ONCE(asb->session) ||
	    augur_inject(AUGUR_INJECT_lazy_open))
		return 0;
	/* It is served for want of a better one. */
	if ((READ_ONCE(AUGUR_I(inode)->state) & AUGUR_IS_STALE) &&
	    augur_opt(asb, offline) == AUGUR_OFFLINE_RO)
		return 0;
	err = augur_need_range(inode, af, 0, size, size, 0, false);
	if (err != -ESTALE)
		return 0;
	augur_set_stale(inode);
	return err;
}

int augur_open_again(struct inode *inode)
{
	int err;

	if (!S_ISREG(inode->i_mode))
		return 0;
	err = bring_small(inode, NULL);
	if (err)
		return err;
	err = augur_check_lease(inode);
	if (!err)
		augur_vouch(inode);
	return err == -ESTALE ? err : 0;
}

static int open_begin(struct inode *inode, struct file *file)
{
	struct augur_sb *asb = AUGUR_SB(inode->i_sb);
	struct augur_inode *ai = AUGUR_I(inode);
	struct augur_file *af;
	int err;

	err = augur_check_lease(inode);
	if (err)
		return err;
	af = kmem_cache_zalloc(file_cache, GFP_KERNEL);
	if (!af)
		return -ENOMEM;
	file->private_data = af;
	opens_inc(ai);
	err = open_lower(asb, file, ai->lower);
	if (err) {
		atomic_dec(&ai->opens);
		kmem_cache_free(file_cache, af);
		return err;
	}
	augur_live_inc();
	af->open_id = next_open_id(asb);
	af->session_key = augur_session_key(asb);
	augur_stat_inc(asb, opens);
	augur_event_open(inode, af, open_event_flags(inode, file));
	return 0;
}

static int augur_release(struct inode *inode, struct file *file)
{
	struct augur_file *af = file->private_data;

	augur_event_close(inode, af);
	if (af->lower)
		fput(af->lower);
	atomic_dec(&AUGUR_I(inode)->opens);
	kmem_cache_free(file_cache, af);
	augur_live_dec();
	return 0;
}

static int augur_open(struct inode *inode, struct file *file)
{
	int err = open_begin(inode, file);

	if (err || likely(augur_is_complete(inode)))
		return err;
	err = bring_small(inode, file->private_data);
	if (err)
		augur_release(inode, file);
	return err;
}

/* -------- read -------- */

static void account_read(struct inode *inode, struct augur_file *af, loff_t pos, size_t bytes,
			 unsigned int evf)
{
	struct augur_sb *asb = AUGUR_SB(inode->i_sb);

	augur_stat_inc(asb, reads);
	augur_stat_add(asb, read_bytes, bytes);
	af->ra_next = pos + bytes;
	augur_event_read(inode, af, pos, bytes, evf);
}

static ssize_t lower_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *lower;

	if (likely(is_plain(iocb->ki_filp) && !(iocb->ki_flags & IOCB_DIRECT)))
		return filemap_read(iocb, to, 0);
	lower = augur_file_lower(iocb->ki_filp);
	if (IS_ERR(lower))
		return PTR_ERR(lower);
	return augur_lower_read_iter(lower, to, iocb);
}

/*
 * How much from @pos a miss should bring: twice as much each time while reads follow on, else
 * no more than WANT_MIN from the chunk's beginning.
 */
static u64 miss_want(struct inode *inode, struct augur_file *af, loff_t pos, unsigned int *flags)
{
	u64 skip = pos & ((1ULL << AUGUR_I(inode)->chunk_shift) - 1);

	if (pos != af->ra_next || !af->ra_want) {
		af->ra_want = WANT_MIN;
		return WANT_MIN - min(skip, WANT_MIN);
	}
	af->ra_want = min(af->ra_want * 2, WANT_MAX);
	*flags |= AUGUR_RQ_SEQ;
	return af->ra_want;
}

/* Makes [pos, pos + len) present. @rest: bytes from pos the caller is about to ask for. */
static int make_present(struct inode *inode, struct augur_file *af, loff_t pos, u64 len, u64 rest,
			bool nowait)
{
	unsigned int flags = 0;
	u64 want;

	if (augur_present(inode, pos, len))
		return 0;
	want = max(miss_want(inode, af, pos, &flags), min(rest, WANT_MAX));
	/* Who polls with it is told "later" until they have come. */
	if (nowait) {
		augur_need_range(inode, af, pos, len, want, flags | AUGUR_RQ_PREFETCH, false);
		return -EAGAIN;
	}
	return augur_need_range(inode, af, pos, len, want, flags, false);
}

/*
 * Touches the user's buffer, which may be a mapping of bytes that are absent, of this file even,
 * while no lock is held: inside a direct read the lower inode's lock would be, and who brings the
 * bytes needs that.  Returns how much of @len may be read into it, in whole blocks if direct.
 */
static ssize_t touch_buffer(struct kiocb *iocb, struct iov_iter *to, size_t len)
{
	struct inode *lower = AUGUR_I(file_inode(iocb->ki_filp))->lower;
	size_t left;

	if (!user_backed_iter(to) || augur_inject(AUGUR_INJECT_no_prefault))
		return len;
	left = fault_in_iov_iter_writeable(to, len);
	if (likely(!left))
		return len;
	len -= left;
	if (iocb->ki_flags & IOCB_DIRECT)
		len = round_down(len, i_blocksize(lower));
	return len ?: -EFAULT;
}

/* One step: @len bytes at the iterator's position, of @rest that are wanted in all. */
static ssize_t read_step(struct kiocb *iocb, struct iov_iter *to, size_t len, size_t rest)
{
	struct file *file = iocb->ki_filp;
	struct augur_file *af = file->private_data;
	struct inode *inode = file_inode(file);
	struct augur_again again = {};
	ssize_t ret;
	bool begun;

	do {
		ret = make_present(inode, af, iocb->ki_pos, len, rest, iocb->ki_flags & IOCB_NOWAIT);
		if (ret)
			return ret;
		ret = touch_buffer(iocb, to, len);
		if (ret < 0)
			return ret;
		/* What was streamed may be gone again; so much may never be here at once. */
		begun = augur_read_begin(inode, iocb->ki_pos, ret);
		if (!begun && (len > READ_STEP || augur_taken_again(inode, &again)))
			return -ENOSPC;
	} while (!begun);
	iov_iter_truncate(to, ret);
	ret = lower_read(iocb, to);
	augur_read_end(inode);
	iov_iter_reexpand(to, rest - max_t(ssize_t, ret, 0));
	return ret;
}

static ssize_t read_in_steps(struct kiocb *iocb, struct iov_iter *to)
{
	loff_t size = i_size_read(file_inode(iocb->ki_filp));
	size_t rest = iov_iter_count(to), step;
	ssize_t ret = 0, done = 0;

	while (rest && iocb->ki_pos < size) {
		step = min_t(size_t, rest, READ_STEP);
		ret = read_step(iocb, to, step, rest);
		if (ret <= 0)
			break;
		done += ret;
		rest -= ret;
		if (ret < step)
			break;
	}
	return done ?: ret;
}

/*
 * What completes later is one request and stays one, unless the cache's disk has no room for all
 * of it at once: then it is read here and now, in steps.
 */
static ssize_t read_incomplete(struct kiocb *iocb, struct iov_iter *to)
{
	size_t rest = iov_iter_count(to);
	struct kiocb now = { };
	ssize_t ret;

	if (is_sync_kiocb(iocb) || !(iocb->ki_flags & IOCB_DIRECT))
		return read_in_steps(iocb, to);
	if (!rest || iocb->ki_pos >= i_size_read(file_inode(iocb->ki_filp)))
		return 0;
	ret = read_step(iocb, to, rest, rest);
	if (ret != -ENOSPC || rest <= READ_STEP)
		return ret;
	kiocb_clone(&now, iocb, iocb->ki_filp);
	ret = read_in_steps(&now, to);
	iocb->ki_pos = now.ki_pos;
	return ret;
}

static ssize_t augur_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct augur_file *af = iocb->ki_filp->private_data;
	struct inode *inode = file_inode(iocb->ki_filp);
	loff_t pos = iocb->ki_pos;
	unsigned int evf = 0;
	ssize_t ret;

	if (likely(augur_is_complete(inode))) {
		evf = AUGUR_EVF_HIT;
		ret = lower_read(iocb, to);
	} else {
		ret = read_incomplete(iocb, to);
	}
	if (ret > 0)
		account_read(inode, af, pos, ret, evf);
	return ret;
}

/* A splice moves no more than the pipe holds, whatever length it is called with. */
static ssize_t augur_splice_read(struct file *file, loff_t *ppos, struct pipe_inode_info *pipe,
				 size_t len, unsigned int flags)
{
	struct augur_file *af = file->private_data;
	struct inode *inode = file_inode(file);
	struct file *lower = augur_file_lower(file);
	unsigned int evf = AUGUR_EVF_HIT;
	loff_t pos = *ppos;
	struct augur_again again = {};
	ssize_t ret;

	if (IS_ERR(lower))
		return PTR_ERR(lower);
	if (!augur_is_complete(inode)) {
		len = min_t(size_t, len, (size_t)READ_ONCE(pipe->max_usage) << PAGE_SHIFT);
		len = min_t(size_t, len, READ_STEP);
		for (;;) {
			ret = make_present(inode, af, pos, len, len, flags & SPLICE_F_NONBLOCK);
			if (ret)
				return ret;
			if (augur_read_begin(inode, pos, len))
				break;
			if (augur_taken_again(inode, &again))
				return -ENOSPC;
		}
		evf = 0;
	}
	ret = augur_lower_splice_read(lower, file, ppos, pipe, len, flags);
	if (!evf)
		augur_read_end(inode);
	if (ret > 0)
		account_read(inode, af, pos, ret, evf);
	return ret;
}

/* -------- holes, advice -------- */

static loff_t augur_llseek(struct file *file, loff_t off, int whence)
{
	bool holes = augur_is_complete(file_inode(file)) || augur_inject(AUGUR_INJECT_show_holes);
	struct file *lower;
	loff_t pos;

	if (!holes || (whence != SEEK_DATA && whence != SEEK_HOLE))
		return generic_file_llseek(file, off, whence);
	lower = augur_file_lower(file);
	if (IS_ERR(lower))
		return PTR_ERR(lower);
	pos = vfs_llseek(lower, off, whence);
	return pos < 0 ? pos : vfs_setpos(file, pos, file_inode(file)->i_sb->s_maxbytes);
}

/* WILLNEED asks and does not wait; a length of 0 means to the end. */
static int augur_fadvise(struct file *file, loff_t off, loff_t len, int advice)
{
	struct augur_file *af = file->private_data;
	struct inode *inode = file_inode(file);
	u64 bytes = len ? len : (u64)i_size_read(inode);
	struct file *lower;
	int err;

	if (off < 0 || len < 0)
		return -EINVAL;
	if (advice != POSIX_FADV_WILLNEED || augur_is_complete(inode)) {
		if (is_plain(file))
			return generic_fadvise(file, off, len, advice);
		lower = augur_file_lower(file);
		return IS_ERR(lower) ? PTR_ERR(lower) : vfs_fadvise(lower, off, len, advice);
	}
	/* Advice of anybody who may read must not queue a whole disk before what others wait for. */
	bytes = min(bytes, WANT_MAX);
	err = augur_need_range(inode, af, off, bytes, bytes, AUGUR_RQ_PREFETCH, false);
	return err == -EINTR ? err : 0;
}

const struct file_operations augur_file_fops = {
	.open		= augur_open,
	.release	= augur_release,
	.read_iter	= augur_read_iter,
	.splice_read	= augur_splice_read,
	.llseek		= augur_llseek,
	.mmap		= augur_mmap,
	.fsync		= noop_fsync,
	.fadvise	= augur_fadvise,
	.setlease	= generic_setlease,
};

/* The pages are the lower inode's. */
const struct address_space_operations augur_aops = { };

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fake_kernel.h - the upcall room of a test: requests are put in by hand, answers and notices
 * are kept, SWITCH and REMOVE are carried out on the lower tree as the kernel would.  Linked
 * instead of daemon/upcall.
 */
#ifndef AUGUR_TESTS_FAKE_KERNEL_H
#define AUGUR_TESTS_FAKE_KERNEL_H

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "base/mem.h"
#include "upcall/upcall.h"

struct fake_reply { bool come; int status; u32 flags; u64 off, len; };

static struct fake {
	struct upcall_mount m;
	u64		last_req, last_grant;
	struct fake_reply replies[4096];
	unsigned int	begins, ends, end_ranges, invals[8], switches, removes, leases, settles, complete_ends;
	unsigned int	asks, evicts, pins;
	unsigned int	removes_complete;	/* of directories that said they were complete */
	unsigned int	forgets, forgets_claimed;	/* of these in directories that said that all names are there */
	const char	*keeps;			/* this name is in use */
	void		(*removing)(const char *name);
	u32		evict_busy;		/* AUGUR_BUSY_*: refused */
	u32		whole_busy;		/* the same of all of an object; ranges go */
	int		evict_err;		/* refused for good */
	bool		ask_only;		/* refused when it is meant */
	void		(*evicted)(void);	/* called before the answer 0 */
	bool		refuse_grants;
	struct upcall_inode ahead;		/* one that nobody has claimed */
	unsigned int	inodes;
	int		top_fd;			/* of the cache */
} fake = { .m = { .id = 7, .session = 1, .timeout_ms = 5000, .lease_ms = 3000 } };

void upcall_reply(struct upcall_mount *m, const struct upcall_reply *rp)
{
	struct fake_reply *r = &fake.replies[rp->id % ARRAY_SIZE(fake.replies)];

	if (r->come)
		abort();	/* twice */
	*r = (struct fake_reply){ true, rp->status, rp->flags, rp->off, rp->len };
}

int upcall_fill_begin(struct upcall_mount *m, const u8 *oid, const struct fh *fh, u64 off, u64 len,
		      struct upcall_range *r, int *n, u64 *grant, u32 *flags)
{
	*grant = 0;
	*n = 0;
	if (fake.refuse_grants)
		return 0;
	fake.begins++;
	*grant = ++fake.last_grant;
	r[0] = (struct upcall_range){ off, len };
	*n = 1;
	return 0;
}

void upcall_fill_end(struct upcall_mount *m, u64 grant, const struct upcall_range *r, int n, bool complete)
{
	fake.ends++;
	fake.end_ranges += n;
	fake.complete_ends += complete;
}

int upcall_evict(struct upcall_mount *m, const u8 *oid, const struct fh *fh, u64 off, u64 len, bool ask, u32 *why)
{
	*why = fake.ask_only && ask ? 0 : !len && fake.whole_busy ? fake.whole_busy : fake.evict_busy;
	if (fake.evict_err)
		return fake.evict_err;
	if (ask)
		fake.asks++;
	if (*why)
		return -EBUSY;
	if (!ask && fake.evicted)
		fake.evicted();
	fake.evicts += !ask;
	return 0;
}

int upcall_pin(struct upcall_mount *m, const u8 *oid, const struct fh *fh, bool set)
{
	fake.pins++;
	return 0;
}

void upcall_settle(struct upcall_mount *m, const u8 *oid, bool complete, u64 present)
{
	fake.settles++;
}

void upcall_inval(struct upcall_mount *m, u32 kind, const u8 *oid, const char *name, size_t len)
{
	fake.invals[kind & 7]++;
}

void upcall_pu_table(struct upcall_mount *m, u32 base, const u16 *groups, u32 n, u64 seq)
{
}

void upcall_lease(struct upcall_mount *m, u32 group, u64 seq, u64 deadline)
{
	fake.leases += !!deadline;
}

static int fake_name(const struct fh *parent, const char *name, const struct fh *old)
{
	struct fh now = { 0 };
	int fd = fh_open(fake.top_fd, parent, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return fd;
	if (fh_of(fd, name, &now) || !fh_equal(&now, old)) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

int upcall_switch(struct upcall_mount *m, const struct fh *parent, const char *name, size_t len,
		  const struct fh *old_fh, const struct fh *new_fh, const char *tmp)
{
	int fd = fake_name(parent, name, old_fh), tmp_fd, err;

	if (fd < 0)
		return fd;
	tmp_fd = openat(fake.top_fd, ".augur/tmp", O_RDONLY | O_DIRECTORY);
	err = renameat(tmp_fd, tmp, fd, name) ? -errno : 0;
	close(tmp_fd);
	close(fd);
	fake.switches += !err;
	return err;
}

/* Is there a directory that says so? */
static bool says_complete(const struct fh *fh)
{
	int fd = fh_open(fake.top_fd, fh, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	struct augur_rec rec;
	struct stat st;
	bool says;

	if (fd < 0)
		return false;
	says = !fstat(fd, &st) && S_ISDIR(st.st_mode) && !lower_record_read(fd, &rec) && (rec.flags & AUGUR_REC_COMPLETE);
	close(fd);
	return says;
}

int upcall_remove(struct upcall_mount *m, const struct fh *parent, const char *name, size_t len,
		  const struct fh *old_fh, bool forget)
{
	int fd = fake_name(parent, name, old_fh), err;

	if (fd < 0)
		return fd;
	fake.forgets += forget;
	fake.forgets_claimed += forget && says_complete(parent);
	if (forget && fake.removing)
		fake.removing(name);
	if (forget && fake.keeps && !strcmp(name, fake.keeps)) {
		close(fd);
		return -EBUSY;
	}
	fake.removes_complete += says_complete(old_fh);
	err = unlinkat(fd, name, 0) && unlinkat(fd, name, AT_REMOVEDIR) ? -errno : 0;
	close(fd);
	fake.removes += !err;
	return err;
}

int upcall_inodes(struct upcall_mount *m, void (*fn)(void *arg, const struct upcall_inode *in), void *arg)
{
	fake.inodes++;
	if (fake.ahead.fh.len)
		fn(arg, &fake.ahead);
	return 0;
}

int upcall_register(struct upcall *u, u64 id, bool events, void *user, struct upcall_mount **out)
{
	return -ENOENT;
}

void upcall_unregister(struct upcall_mount *m)
{
}

void upcall_flush(struct upcall_mount *m)
{
}

bool upcall_module_present(const struct upcall *u)
{
	return true;
}

int upcall_module_error(const struct upcall *u)
{
	return 0;
}

#endif

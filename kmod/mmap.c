// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmap.c - mappings: the lower file's own, behind a table that for an incomplete file looks at
 * presence first, and for all maps more at once where pages are touched in a row.
 *
 * vma->vm_file is the lower file, so pages and writeback never see us; it holds our mount.  The
 * lower vm_ops are copied and open, close and map_pages replaced, for an incomplete file fault,
 * too (one struct augur_vmops per mmap call, shared by what it is split or forked into).
 *
 * No wait for the daemon under mmap_lock: a fault on absent bytes pins the upper file,
 * drops the lock, waits, and has the fault tried again.  The second time the bytes are there
 * or the task gets SIGBUS.  The lower page cache may hold pages of holes (read-ahead puts
 * them there), so nothing is mapped that was not looked at: fault-around and huge pages
 * only where all of their range is present.  That a page came in a huge one is seen only then,
 * so that range may need a wait of its own after the page's.
 *
 * The one exception is a core dump, whose faults may not drop the lock since 6.3: its process is
 * about to be gone, and nobody who fills has need of its lock.
 */
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/refcount.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "augurfs.h"

#define FAULT_WANT	(256UL << 10)	/* worth having from an absent page on */
#define MAP_WANT	(1UL << 20)	/* asked for when a mapping is made */
#define AROUND_ROW	4		/* so much of the usual is mapped by a fault in a row */
#define FAULT_TRIES	3	/* where there is no memory to ask */

struct augur_vmops {
	struct vm_operations_struct		ops;
	const struct vm_operations_struct	*lower;
	struct file				*upper;	/* reference; NULL: was complete */
	refcount_t				ref;	/* vmas */
	pgoff_t					around_end; /* behind what was mapped last; a hint */
	loff_t					huge_failed; /* 1 + where a huge page could not be had */
};

static struct augur_vmops *vmops_of(const struct vm_area_struct *vma)
{
	return container_of(vma->vm_ops, struct augur_vmops, ops);
}

static void vmops_free(struct augur_vmops *vo)
{
	if (vo->upper) {
		atomic_dec(&AUGUR_I(file_inode(vo->upper))->mappings);
		fput(vo->upper);
	}
	kfree(vo);
	augur_live_dec();
}

static void augur_vm_open(struct vm_area_struct *vma)
{
	struct augur_vmops *vo = vmops_of(vma);

	refcount_inc(&vo->ref);
	if (vo->lower->open)
		vo->lower->open(vma);
}

static void augur_vm_close(struct vm_area_struct *vma)
{
	struct augur_vmops *vo = vmops_of(vma);

	if (vo->lower->close)
		vo->lower->close(vma);
	if (!refcount_dec_and_test(&vo->ref))
		return;
	vma->vm_ops = vo->lower;
	vmops_free(vo);
}

/* -------- faults -------- */

/*
 * The lock may not be dropped: a second attempt, or a caller that will not wait (ptrace, a
 * hypervisor).  For the latter's next attempt the bytes are asked for.
 */
static vm_fault_t fault_refuse(struct vm_fault *vmf, struct inode *inode, loff_t pos, u64 len)
{
	if (!(vmf->flags & FAULT_FLAG_TRIED))
		augur_need_range(inode, NULL, pos, len, len, AUGUR_RQ_PREFETCH, false);
	return vmf->flags & FAULT_FLAG_RETRY_NOWAIT ? VM_FAULT_RETRY : VM_FAULT_SIGBUS;
}

/*
 * Waits for the bytes with the fault's lock dropped; the mapping may be gone afterwards.  A fault
 * has nobody to say ENOMEM to, and the task must not die of a shortage that has passed.
 */
static int fault_wait(struct vm_fault *vmf, struct inode *inode, loff_t pos, u64 len, u64 want)
{
	struct file *upper = get_file(vmops_of(vmf->vma)->upper);
	int err, tries = 0;

	augur_stat_inc(AUGUR_SB(inode->i_sb), faults_absent);
	release_fault_lock(vmf);
	do {
		err = augur_need_range(inode, upper->private_data, pos, len, want,
				       AUGUR_RQ_FAULT, false);
	} while (err == -ENOMEM && ++tries < FAULT_TRIES);
	fput(upper);
	return err;
}

/* Under mmap_lock.  An error leaves a hole in the core. */
static bool fault_dump(const struct vm_fault *vmf, struct inode *inode, loff_t pos)
{
	struct augur_vmops *vo = vmops_of(vmf->vma);

	if (!(current->flags & PF_DUMPCORE) || (vmf->flags & FAULT_FLAG_ALLOW_RETRY))
		return false;
	augur_stat_inc(AUGUR_SB(inode->i_sb), faults_absent);
	return !augur_need_range(inode, vo->upper->private_data, pos, PAGE_SIZE, FAULT_WANT,
				 AUGUR_RQ_FAULT, false) &&
	       augur_read_begin(inode, pos, PAGE_SIZE);
}

/*
 * The bytes are absent.  First attempt: get them with the lock dropped and have the fault
 * tried again; MAJOR too, because after an attempt under the lock of the VMA alone only
 * that makes the next one a second attempt.
 */
static vm_fault_t fault_absent(struct vm_fault *vmf, struct inode *inode, loff_t pos, u64 len)
{
	if (!fault_flag_allow_retry_first(vmf->flags) ||
	    (vmf->flags & FAULT_FLAG_RETRY_NOWAIT))
		return fault_refuse(vmf, inode, pos, len);
	/* An error shows as the second attempt finding the bytes absent. */
	fault_wait(vmf, inode, pos, len, max_t(u64, len, FAULT_WANT));
	return VM_FAULT_RETRY | VM_FAULT_MAJOR;
}

/* A page-table entry for a huge page would map its neighbours too. */
static bool maps_more(const struct vm_fault *vmf, loff_t *pos, u64 *len)
{
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	if (vmf->page && PageTransCompound(vmf->page) &&
	    folio_size(page_folio(vmf->page)) >= PMD_SIZE) {
		*pos = folio_pos(page_folio(vmf->page));
		*len = folio_size(page_folio(vmf->page));
		return true;
	}
#endif
	return false;
}

/*
 * The page is here, the huge one around it is not: its range is waited for, at whatever attempt
 * that is.  What came of it shows at the next one, by the presence or by the note of a failure.
 */
static vm_fault_t fault_huge(struct vm_fault *vmf, struct inode *inode, loff_t pos, u64 len)
{
	struct augur_vmops *vo = vmops_of(vmf->vma);

	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY) || (vmf->flags & FAULT_FLAG_RETRY_NOWAIT) ||
	    cmpxchg(&vo->huge_failed, pos + 1, 0) == pos + 1)
		return fault_refuse(vmf, inode, pos, len);
	refcount_inc(&vo->ref);		/* the mapping may go meanwhile */
	if (fault_wait(vmf, inode, pos, len, len) && !fatal_signal_pending(current))
		WRITE_ONCE(vo->huge_failed, pos + 1);
	if (refcount_dec_and_test(&vo->ref))
		vmops_free(vo);
	return VM_FAULT_RETRY | VM_FAULT_MAJOR;
}

static vm_fault_t augur_vm_fault(struct vm_fault *vmf)
{
	struct augur_vmops *vo = vmops_of(vmf->vma);
	struct inode *inode = file_inode(vo->upper);
	loff_t pos;
	vm_fault_t ret;
	u64 len;

	pos = (loff_t)vmf->pgoff << PAGE_SHIFT;
	/*
	 * Until the lower file has read the page.  Who evicts it later punches a hole, which waits
	 * for the lock that the page is returned with and takes it out of all page tables.
	 */
	if (unlikely(!augur_read_begin(inode, pos, PAGE_SIZE)) && !fault_dump(vmf, inode, pos))
		return fault_absent(vmf, inode, pos, PAGE_SIZE);
	ret = vo->lower->fault(vmf);
	augur_read_end(inode);
	if (ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY | VM_FAULT_DONE_COW))
		return ret;
	if (likely(!maps_more(vmf, &pos, &len) || augur_present(inode, pos, len)))
		return ret;
	/* Lock and reference of the page are ours by now. */
	if (ret & VM_FAULT_LOCKED)
		unlock_page(vmf->page);
	put_page(vmf->page);
	vmf->page = NULL;
	return fault_huge(vmf, inode, pos, len);
}

/*
 * The kernel maps what is in memory of the 64 KiB around a fault.  A fault just behind what the
 * last one mapped is of somebody who goes through the file: a larger piece saves the next faults.
 * The end stays in the mapping and below the same page table, as the kernel's own does.
 */
static vm_fault_t map_around(struct vm_fault *vmf, struct augur_vmops *vo, pgoff_t start,
			     pgoff_t end)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long first = (vma->vm_start >> PAGE_SHIFT) + start - vma->vm_pgoff;
	pgoff_t row = start + AROUND_ROW * (end - start + 1) - 1;

	if (READ_ONCE(vo->around_end) == start)
		end = min3(row, vma->vm_pgoff + vma_pages(vma) - 1,
			   start + (PTRS_PER_PTE - 1 - first % PTRS_PER_PTE));
	WRITE_ONCE(vo->around_end, end + 1);
	return vo->lower->map_pages(vmf, start, end);
}

/* Returning nothing mapped sends the fault to augur_vm_fault(). */
static vm_fault_t augur_vm_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	struct augur_vmops *vo = vmops_of(vmf->vma);
	struct inode *inode = vo->upper ? file_inode(vo->upper) : NULL;
	pgoff_t first = start, last = end;
	vm_fault_t ret;

	/* What is complete is not evicted while it is mapped. */
	if (!inode || augur_is_complete(inode) || augur_inject(AUGUR_INJECT_map_around))
		return map_around(vmf, vo, start, end);
	/* It may map a huge page that the range only touches.  To be asked for is the range. */
	if (mapping_large_folio_support(vmf->vma->vm_file->f_mapping)) {
		first = round_down(start, PMD_SIZE >> PAGE_SHIFT);
		last = round_up(end + 1, PMD_SIZE >> PAGE_SHIFT) - 1;
	}
	if (!augur_read_begin(inode, (loff_t)first << PAGE_SHIFT,
			      (u64)(last - first + 1) << PAGE_SHIFT))
		return 0;
	ret = vo->lower->map_pages(vmf, start, end);
	augur_read_end(inode);
	return ret;
}

/* -------- mmap -------- */

static void wrap(struct vm_area_struct *vma, struct augur_vmops *vo)
{
	vo->lower = vma->vm_ops;
	vo->ops = *vma->vm_ops;
	vo->ops.open = augur_vm_open;
	vo->ops.close = augur_vm_close;
	if (vo->lower->map_pages)
		vo->ops.map_pages = augur_vm_map_pages;
	if (vo->upper) {
		vo->ops.fault = augur_vm_fault;
		/* It would map what nobody looked at; the ordinary fault is always right. */
		vo->ops.huge_fault = NULL;
	}
	vma->vm_ops = &vo->ops;
}

static int mmap_wrapped(struct file *file, struct file *lower, struct vm_area_struct *vma,
			bool complete)
{
	struct inode *inode = file_inode(file);
	struct augur_vmops *vo = kzalloc(sizeof(*vo), GFP_KERNEL);
	int err;

	if (!vo)
		return -ENOMEM;
	augur_live_inc();
	refcount_set(&vo->ref, 1);
	if (!complete) {
		vo->upper = get_file(file);
		atomic_inc(&AUGUR_I(inode)->mappings);
	}
	err = augur_lower_mmap(lower, file, vma);
	if (!err && (!vma->vm_ops || !vma->vm_ops->fault))
		err = -ENODEV;
	if (err) {
		vmops_free(vo);
		return err;
	}
	wrap(vma, vo);
	return 0;
}

int augur_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct file *lower = augur_file_lower(file);
	bool complete;
	u64 len;
	int err;

	if (IS_ERR(lower))
		return PTR_ERR(lower);
	complete = augur_is_complete(file_inode(file)) || augur_inject(AUGUR_INJECT_no_wrap);
	err = mmap_wrapped(file, lower, vma, complete);
	if (err || complete)
		return err;
	/* The first of it will be touched: asked for, not waited for, as mmap_lock is held. */
	len = min_t(u64, vma->vm_end - vma->vm_start, MAP_WANT);
	augur_need_range(file_inode(file), file->private_data, (loff_t)vma->vm_pgoff << PAGE_SHIFT,
			 len, len, AUGUR_RQ_PREFETCH, false);
	return 0;
}

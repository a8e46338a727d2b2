// SPDX-License-Identifier: GPL-2.0-only
/*
 * debugfs.c - what the module holds now, as text: augurfs/<mount id>/requests and inodes,
 * and augurfs/inject.  For people and bug reports; its form may change, so every listing
 * starts with a line that names the columns.
 *
 * debugfs itself keeps a file's mount alive while it is read: removal waits for readers.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include "upcall.h"

static struct dentry *root;

static const char *op_name(u32 op)
{
	static const char * const names[] = {
		[AUGUR_OP_LOOKUP]	= "lookup",
		[AUGUR_OP_POPULATE]	= "populate",
		[AUGUR_OP_FETCH]	= "fetch",
		[AUGUR_OP_REVAL]	= "reval",
	};

	return op < ARRAY_SIZE(names) && names[op] ? names[op] : "?";
}

static void show_request(struct seq_file *m, struct augur_req *req)
{
	struct augur_sb *asb = req->asb;
	enum augur_req_state state;
	unsigned int waiters, sends;

	spin_lock(&asb->req_lock);
	state = req->state;
	waiters = req->waiters;
	sends = req->sends;
	spin_unlock(&asb->req_lock);
	seq_printf(m, "%llu %s %*phN %s %lld %u %u %llu %llu", req->id, op_name(req->op),
		   AUGUR_OID_LEN, req->oid, state == AUGUR_REQ_SENT ? "sent" : "new",
		   ktime_ms_delta(ktime_get(), req->created), waiters, sends, req->off, req->len);
	if (req->name_len) {
		seq_putc(m, ' ');
		seq_escape_mem(m, req->name, req->name_len, ESCAPE_SPACE | ESCAPE_SPECIAL, NULL);
	}
	seq_putc(m, '\n');
}

static int requests_show(struct seq_file *m, void *v)
{
	struct augur_sb *asb = m->private;
	struct augur_req *req;
	u64 id;

	seq_puts(m, "id op oid state age_ms waiters sends off len name\n");
	for (id = 0; (req = augur_req_next(asb, &id)); id++) {
		show_request(m, req);
		augur_req_put(req, AUGUR_WHY_WALK);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(requests);

static int inodes_show(struct seq_file *m, void *v)
{
	struct augur_sb *asb = m->private;
	struct augur_inode *ai;
	struct inode *inode;
	u64 seq = 0;

	seq_puts(m, "ino oid version state grants\n");
	while ((inode = augur_unsettled_next(asb, &seq))) {
		ai = AUGUR_I(inode);
		seq_printf(m, "%lu %*phN %llu %#x %u\n", (unsigned long)inode->i_ino,
			   AUGUR_OID_LEN, ai->oid, ai->version, READ_ONCE(ai->state),
			   READ_ONCE(ai->grants));
		augur_iput_async(asb, inode);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(inodes);

void augur_debugfs_add(struct augur_sb *asb)
{
	char name[24];

	snprintf(name, sizeof(name), "%llu", asb->mount_id);
	asb->debugfs = debugfs_create_dir(name, root);
	debugfs_create_file("requests", 0400, asb->debugfs, asb, &requests_fops);
	debugfs_create_file("inodes", 0400, asb->debugfs, asb, &inodes_fops);
}

void augur_debugfs_del(struct augur_sb *asb)
{
	debugfs_remove_recursive(asb->debugfs);
	asb->debugfs = NULL;
}

/* Without debugfs there is nothing to see, which is no reason not to mount. */
int augur_debugfs_init(void)
{
	root = debugfs_create_dir("augurfs", NULL);
	augur_inject_init(root);
	return 0;
}

void augur_debugfs_exit(void)
{
	debugfs_remove_recursive(root);
}

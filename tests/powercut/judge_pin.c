// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * judge_pin.c - is everything pinned that has to be?
 *
 * Once "augur pin" has answered, whatever the disk holds after a power cut has the pin: the flag in
 * the record of each file and directory that is or comes there, which is what the kernel goes by,
 * and the row in the list.  Files that are kept (states.c, K) were whole by then and nobody edits
 * them: they are whole ever after.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "powercut.h"

static void complain(struct verdict *v, const struct inode_seen *in, const char *name, const char *what)
{
	v->pins_lost++;
	if (!v->first[0])
		snprintf(v->first, sizeof(v->first), "%s: %s: inode %u oid %llx flags %x", what, name, in ? in->ino : 0,
			 in ? (unsigned long long)augur_oid_ino(in->rec.oid) : 0, in ? in->rec.flags : 0);
}

static const struct inode_seen *inode_of(const struct seen *s, const u8 *oid)
{
	for (size_t i = 0; i < s->ninode; i++)
		if (s->inode[i].valid && !memcmp(s->inode[i].rec.oid, oid, AUGUR_OID_LEN))
			return &s->inode[i];
	return NULL;
}

static bool listed(const struct seen *s, const u8 *oid)
{
	for (size_t i = 0; i < s->npin; i++)
		if (!memcmp(s->pin[i], oid, AUGUR_OID_LEN))
			return true;
	return false;
}

static void judge_below(const struct seen *s, struct verdict *v, size_t dir)
{
	for (size_t i = 0; i < s->nname; i++) {
		const struct inode_seen *in = &s->inode[s->name[i].inode];

		if (s->name[i].dir != dir || !in->valid || (!S_ISREG(in->mode) && !S_ISDIR(in->mode)))
			continue;
		v->pins++;
		if (!(in->rec.flags & AUGUR_REC_PINNED))
			complain(v, in, s->name[i].name, "in a pinned directory, and not pinned");
		if (S_ISDIR(in->mode))
			judge_below(s, v, s->name[i].inode);
	}
}

static void judge_pin(const struct seen *s, struct verdict *v, const u8 *oid)
{
	const struct inode_seen *in = inode_of(s, oid);

	v->pins++;
	if (!listed(s, oid))
		complain(v, in, "a pin", "it is not in the list");
	if (!in || !(in->rec.flags & AUGUR_REC_PINNED))
		complain(v, in, "a pin", "it is not pinned");
	else if (S_ISDIR(in->mode))
		judge_below(s, v, in - s->inode);
}

static void judge_kept(const struct seen *s, struct verdict *v, const u8 *oid)
{
	const struct inode_seen *in = inode_of(s, oid);

	v->pins++;
	if (!in || !(in->rec.flags & AUGUR_REC_PINNED) || !(in->rec.flags & AUGUR_REC_COMPLETE))
		complain(v, in, "a file that is kept", "it is not pinned and whole any more");
}

/* The newest word about each object counts. */
static bool is_newest(const struct states *st, size_t i, u64 acked)
{
	for (size_t k = i + 1; k < st->npins && st->p[k].no <= acked; k++)
		if (st->p[k].what != 'K' && !memcmp(st->p[k].oid, st->p[i].oid, AUGUR_OID_LEN))
			return false;
	return true;
}

void judge_pins(const struct seen *s, const struct evidence *e, struct verdict *v)
{
	const struct states *st = e->st;

	for (size_t i = 0; i < st->npins && st->p[i].no <= e->pins_acked; i++) {
		if (st->p[i].what == 'K')
			judge_kept(s, v, st->p[i].oid);
		else if (st->p[i].what == 'P' && is_newest(st, i, e->pins_acked))
			judge_pin(s, v, st->p[i].oid);
	}
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * entry.c - an object's attributes and a directory entry on the wire.  Pure.
 *
 * WF_ATTR is a fixed layout: oid 16 | pu, mode, uid, gid, nlink, rdev u32 | size, version, tag
 * u64 | mtime, ctime s64 | mtime, ctime nanoseconds u32 | flags u32 | holes u8 | 3 reserved bytes;
 * flags and what is reserved are 0.
 * An entry is a nested field { ATTR, [NAME], [LOCATOR], [LINK], [XATTRS] }.  What is impossible
 * is refused here, so nobody behind this file meets a name with a slash or a negative size.
 */
#include <sys/stat.h>

#include "base/mem.h"
#include "wire/bytes.h"
#include "wire/msg.h"

#define NSEC_PER_SEC	1000000000U
#define XATTR_NAME_MAX	255

static void attr_encode(const struct wire_attr *a, u8 b[WIRE_ATTR_LEN])
{
	memcpy(b, a->oid, AUGUR_OID_LEN);
	put_le32(b + 16, a->pu);
	put_le32(b + 20, a->mode);
	put_le32(b + 24, a->uid);
	put_le32(b + 28, a->gid);
	put_le32(b + 32, a->nlink);
	put_le32(b + 36, a->rdev);
	put_le64(b + 40, a->size);
	put_le64(b + 48, a->version);
	put_le64(b + 56, a->tag);
	put_le64(b + 64, (u64)a->mtime_sec);
	put_le64(b + 72, (u64)a->ctime_sec);
	put_le32(b + 80, a->mtime_nsec);
	put_le32(b + 84, a->ctime_nsec);
	put_le32(b + 88, a->flags);
	put_le32(b + 92, a->holes);
}

bool wire_is_mode(u32 mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: case S_IFDIR: case S_IFLNK: case S_IFCHR: case S_IFBLK: case S_IFIFO: case S_IFSOCK:
		return !(mode & ~(S_IFMT | 07777U));
	default:
		return false;
	}
}

static int attr_decode(const struct wire_val *v, struct wire_attr *a)
{
	const u8 *b = v->p;
	u32 holes;

	if (v->len != WIRE_ATTR_LEN)
		return -EBADMSG;
	memcpy(a->oid, b, AUGUR_OID_LEN);
	a->pu = get_le32(b + 16);
	a->mode = get_le32(b + 20);
	a->uid = get_le32(b + 24);
	a->gid = get_le32(b + 28);
	a->nlink = get_le32(b + 32);
	a->rdev = get_le32(b + 36);
	a->size = get_le64(b + 40);
	a->version = get_le64(b + 48);
	a->tag = get_le64(b + 56);
	a->mtime_sec = (s64)get_le64(b + 64);
	a->ctime_sec = (s64)get_le64(b + 72);
	a->mtime_nsec = get_le32(b + 80);
	a->ctime_nsec = get_le32(b + 84);
	a->flags = get_le32(b + 88);
	holes = get_le32(b + 92);
	a->holes = holes;
	if (!wire_is_mode(a->mode) || a->size > INT64_MAX || a->flags || holes > 255)
		return -EBADMSG;
	if (holes && (!S_ISREG(a->mode) || !a->size))
		return -EBADMSG;
	if (a->mtime_nsec >= NSEC_PER_SEC || a->ctime_nsec >= NSEC_PER_SEC)
		return -EBADMSG;
	return 0;
}

/* Over the limits of ours a field is a mistake of this daemon: the entry is not sent. */
static bool fits(const struct wire_entry *e)
{
	return e->name_len <= 255 && e->locator_len <= WIRE_LOCATOR_MAX && e->link_len <= WIRE_LINK_MAX &&
	       e->xattrs_len <= WIRE_XATTRS_MAX;
}

int wire_put_entry(struct wire_out *w, u16 tag, const struct wire_entry *e)
{
	u8 attr[WIRE_ATTR_LEN];
	size_t mark;

	if (!fits(e))
		return -E2BIG;
	mark = wire_nest(w, tag);
	attr_encode(&e->attr, attr);
	wire_put(w, WF_ATTR, attr, sizeof(attr));
	if (e->name)
		wire_put(w, WF_NAME, e->name, e->name_len);
	if (e->locator)
		wire_put(w, WF_LOCATOR, e->locator, e->locator_len);
	if (e->link)
		wire_put(w, WF_LINK, e->link, e->link_len);
	if (e->xattrs)
		wire_put(w, WF_XATTRS, e->xattrs, e->xattrs_len);
	return wire_nest_end(w, mark);
}

int wire_xattr_next(const u8 **p, const u8 *end, const char **name, size_t *name_len, const u8 **val, size_t *val_len)
{
	size_t left = end - *p, n, m;

	if (!left)
		return 0;
	if (left < 3)
		return -EBADMSG;
	n = (*p)[0];
	m = get_le16(*p + 1);
	if (!n || n > XATTR_NAME_MAX || n + m > left - 3 || memchr(*p + 3, 0, n))
		return -EBADMSG;
	*name = (const char *)*p + 3;
	*name_len = n;
	*val = *p + 3 + n;
	*val_len = m;
	*p += 3 + n + m;
	return 1;
}

static bool xattrs_ok(const u8 *p, size_t len)
{
	const u8 *end = p + len, *val;
	const char *name;
	size_t n, m;
	int r;

	while ((r = wire_xattr_next(&p, end, &name, &n, &val, &m)) == 1)
		;
	return r == 0;
}

/* Takes one field of an entry; a second one of the same kind is refused. */
static int take_field(const struct wire_val *v, struct wire_entry *e, bool *have_attr)
{
	switch (v->tag) {
	case WF_ATTR:
		if (*have_attr)
			return -EBADMSG;
		*have_attr = true;
		return attr_decode(v, &e->attr);
	case WF_NAME:
		if (e->name || augur_name_check((const char *)v->p, v->len))
			return -EBADMSG;
		e->name = (const char *)v->p;
		e->name_len = v->len;
		return 0;
	case WF_LOCATOR:
		if (e->locator || !v->len || v->len > WIRE_LOCATOR_MAX)
			return -EBADMSG;
		e->locator = v->p;
		e->locator_len = v->len;
		return 0;
	case WF_LINK:
		if (e->link || !v->len || v->len > WIRE_LINK_MAX || memchr(v->p, 0, v->len))
			return -EBADMSG;
		e->link = (const char *)v->p;
		e->link_len = v->len;
		return 0;
	case WF_XATTRS:
		if (e->xattrs || v->len > WIRE_XATTRS_MAX || !xattrs_ok(v->p, v->len))
			return -EBADMSG;
		e->xattrs = v->p;
		e->xattrs_len = v->len;
		return 0;
	}
	return 0;
}

int wire_get_entry(const struct wire_val *v, struct wire_entry *e, bool named)
{
	struct wire_in in = { v->p, v->p + v->len };
	struct wire_val f;
	bool have_attr = false;
	int r, err;

	memset(e, 0, sizeof(*e));
	while ((r = wire_next(&in, &f)) == 1) {
		err = take_field(&f, e, &have_attr);
		if (err)
			return err;
	}
	if (r < 0 || !have_attr || !!e->name != named)
		return -EBADMSG;
	/* A symlink has its target; nothing else has one. */
	return S_ISLNK(e->attr.mode) == !!e->link ? 0 : -EBADMSG;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* make.h - inodes of the lower tree, made one by one; private to the cache.  Worker. */
#ifndef AUGUR_CACHE_MAKE_H
#define AUGUR_CACHE_MAKE_H

#include "cache/cache.h"

/*
 * Where an inode is made, and what the kernel would give it there that its owner did not: the
 * directory's group (set-group-id on it, or the mount option), its default ACL.
 */
struct make_spot { int fd; bool group, acl, pinned; };
struct make_spot make_spot(int fd);
/* The inode of @s as @name, or one more name of s->link_fh; fills fh and flags of @s: 0 or -errno (-EEXIST). */
int make_at(struct cache *c, const struct make_spot *sp, const char *name, struct stub_ent *s);
/* Whatever is there, but for a directory that has names: 0 or -errno. */
int make_remove(int dir, const char *name);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* netlink.h - generic netlink calls whose form differs between kernels. */
#ifndef AUGUR_COMPAT_NETLINK_H
#define AUGUR_COMPAT_NETLINK_H

#include <net/genetlink.h>

/* The attributes of the request that started a dump. */
static inline struct nlattr **compat_dump_attrs(struct netlink_callback *cb)
{
#ifdef HAVE_GENL_INFO_DUMP
	return genl_info_dump(cb)->attrs;
#else
	return genl_dumpit_info(cb)->attrs;
#endif
}

#endif /* AUGUR_COMPAT_NETLINK_H */

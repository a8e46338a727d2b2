/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lease arithmetic (CONTRACTS 3): a lease runs from the *sending* of its renewal for
 * lease_ms, less a margin, on CLOCK_BOOTTIME; sequence numbers only grow.
 */
#ifndef AUGUR_COMMON_LEASE_H
#define AUGUR_COMMON_LEASE_H

#include "types.h"

struct augur_lease {
	u64 seq;
	u64 deadline_ns;	/* 0: none */
};

/* Deadline for a renewal sent at @sent_ns; margin is lease/8, at least 50 ms, saturating. */
u64 augur_lease_deadline(u64 sent_ns, u32 lease_ms);
bool augur_lease_valid(const struct augur_lease *l, u64 now_ns);
/* Takes a renewal or (deadline 0) an end; false if @seq is older than what is known. */
bool augur_lease_update(struct augur_lease *l, u64 seq, u64 deadline_ns);

#endif

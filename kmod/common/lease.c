// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lease arithmetic.  The holder's lease must end before the owner's idea of it does, so
 * it is counted from the moment the renewal was sent and shortened by a margin for clocks
 * that drift apart.  Pure; the caller serialises and reads the clock.
 */
#include "lease.h"

#define NS_PER_MS	1000000ULL
#define TIME_END	(~0ULL)
#define MARGIN_MIN_NS	(50 * NS_PER_MS)

u64 augur_lease_deadline(u64 sent_ns, u32 lease_ms)
{
	u64 lease_ns = lease_ms * NS_PER_MS;
	u64 margin_ns = lease_ns / 8;

	if (margin_ns < MARGIN_MIN_NS)
		margin_ns = MARGIN_MIN_NS;
	if (lease_ns <= margin_ns)
		return 0;	/* too short to be any lease */
	lease_ns -= margin_ns;
	if (sent_ns > TIME_END - lease_ns)
		return TIME_END;
	return sent_ns + lease_ns;
}

bool augur_lease_valid(const struct augur_lease *l, u64 now_ns)
{
	return now_ns < l->deadline_ns;
}

bool augur_lease_update(struct augur_lease *l, u64 seq, u64 deadline_ns)
{
	if (seq < l->seq)
		return false;
	l->seq = seq;
	l->deadline_ns = deadline_ns;
	return true;
}

// SPDX-License-Identifier: GPL-2.0-only
/* Are locks and leases in a header of their own? (6.3) */
#include <linux/filelock.h>

int probe;

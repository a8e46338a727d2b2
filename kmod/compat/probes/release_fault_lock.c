// SPDX-License-Identifier: GPL-2.0-only
/* May a fault hold only the lock of its VMA? (6.6) */
#include <linux/mm.h>

void probe(struct vm_fault *vmf)
{
	release_fault_lock(vmf);
}

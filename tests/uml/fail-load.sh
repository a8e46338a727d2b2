#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# fail-load: each allocation (kmalloc and the caches) of loading the module, mounting and unmounting fails once: all of it
# happens or nothing, and afterwards it succeeds.
# timeout: 900
. /payload/tests/lib/guest.sh

requires module python3
[ -e /sys/kernel/debug/failslab ] || skip "this kernel has no fault injection"
# The kernel itself warns where it has no memory for the description of a module's trace events.
expect_dmesg 'kernel/trace/trace_events.c.*event_define_fields'
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm:$T/uml:$T/lib python3 "$T/uml/fail_nth.py" slab modules mounts
# Linux 6.1 itself loses the name of an object that it cannot register.
no_leaks 'kobject_init_and_add  sysfs_slab_add|kobject_set_name  kset_create_and_add'

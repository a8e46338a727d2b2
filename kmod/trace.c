// SPDX-License-Identifier: GPL-2.0-only
/* trace.c - the one place where the tracepoints of trace.h get their bodies. */
#include "augurfs.h"
#include "upcall.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

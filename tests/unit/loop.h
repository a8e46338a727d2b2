/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loop.h - a test's loop: steps until something has happened, never longer than is said. */
#ifndef TEST_LOOP_H
#define TEST_LOOP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"

#define MSEC	1000000ULL
#define SEC	1000000000ULL

static struct io *io;

static inline void loop_ticked(struct io_op *op, int res) { }

/* Steps until *flag (NULL: nothing) or until ms have passed; a timer bounds every step. */
static inline bool run_until(const bool *flag, unsigned int ms)
{
	struct io_op t = { .done = loop_ticked };
	u64 end = io_now(io) + ms * MSEC;

	while (!(flag && *flag) && io_now(io) < end) {
		if (!t.busy)
			io->ops->timer(io, &t, min(end, io_now(io) + 5 * MSEC));
		assert_int_equal(io->ops->step(io), 0);
	}
	io->ops->cancel(io, &t);
	while (t.busy)
		io->ops->step(io);
	return flag && *flag;
}

/* The same for what has its own end: no timer beside it. */
static inline void step_until(const bool *flag)
{
	u64 end = io_now(io) + 5000 * MSEC;

	while (!*flag && io_now(io) < end)
		assert_int_equal(io->ops->step(io), 0);
	assert_true(*flag);
}

#endif

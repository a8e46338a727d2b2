// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The store that forgets: rows live in memory only.  For tests.  A save completes from a
 * timer that is due at once, so that nobody depends on answers inside the call.
 */
#include "meta/store.h"

struct mem_save {
	struct io_op	op;
	struct store	*s;
	store_saved_fn	*fn;
	void		*arg;
};

static void mem_done(struct io_op *op, int res)
{
	struct mem_save *v = container_of(op, struct mem_save, op);

	v->fn(v->s, v->arg, 0);
	free(v);
}

static void mem_save(struct store *s, store_saved_fn *fn, void *arg)
{
	struct mem_save *v = xcalloc(1, sizeof(*v));

	v->s = s;
	v->fn = fn;
	v->arg = arg;
	v->op.done = mem_done;
	s->m.io->ops->timer(s->m.io, &v->op, io_now(s->m.io));
}

static void mem_save_map(struct store *s, const struct meta_map *map, store_saved_fn *fn, void *arg)
{
	mem_save(s, fn, arg);
}

static void mem_close(struct store *s)
{
}

static const struct store_disk mem_disk = {
	.name = "mem",
	.save_volume = mem_save,
	.save_map = mem_save_map,
	.close = mem_close,
};

struct meta *meta_mem_new(struct io *io, const struct meta_store_cfg *cfg)
{
	struct store *s = store_new(io, cfg, &mem_disk, NULL);

	store_loaded(s);
	return &s->m;
}

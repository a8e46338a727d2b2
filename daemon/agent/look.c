// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * look.c - what a changed directory shows: its times, its mode, its number of links.
 *
 * A notice says that a directory changed and not how, and a stat asks nobody, so without more it
 * would show the old times until somebody lists it.  So the owner is asked at once for the
 * attributes of each directory that a notice names, many in one question, and one question of a
 * volume at a time: what changes meanwhile goes into the next.  More than LOOK_MAX wait for
 * their listing instead.
 *
 * And files of several names, or of a split directory: who lists a directory need not own them, and
 * only an owner who was asked for an object tells of its changes.  So he is asked as well.  Loop thread
 * only.
 */
#include "agent/agent.h"
#include "base/log.h"

#define LOOK_MAX	1024
#define LOOK_ITEMS	128
#define PAUSE_NS	(1000ull * 1000000)

struct look { u8 oid[AUGUR_OID_LEN]; struct list link; };
struct look_call {
	struct ask	a;
	struct io_op	pause;
	struct vol	*v;
	unsigned int	loading, showing;
	bool		failed;
	u32		n;
	struct cobj	*o[LOOK_ITEMS];		/* referenced; less than n until all are loaded */
	u32		nlost;			/* of a lost row, and nobody answers who knows the object */
	u8		lost[LOOK_ITEMS][AUGUR_OID_LEN];
};

static void look_more(struct vol *v);

static void call_end(struct look_call *lc)
{
	struct vol *v = lc->v;

	for (u32 i = 0; i < lc->n; i++)
		cobj_put(v->c, lc->o[i]);
	v->look_call = NULL;
	free(lc);
	look_more(v);
	vol_put(v);
}

/* No answer, or the disk did not take it: nobody tells of the same change again, so it is tried until it is here. */
static void pause_over(struct io_op *op, int res)
{
	struct look_call *lc = container_of(op, struct look_call, pause);

	for (u32 i = 0; lc->failed && i < lc->n; i++)
		look_at(lc->v, lc->o[i]->oid);
	for (u32 i = 0; i < lc->nlost; i++)
		look_at(lc->v, lc->lost[i]);
	call_end(lc);
}

static void call_over(struct look_call *lc)
{
	struct vol *v = lc->v;

	if ((!lc->failed && !lc->nlost) || v->dead) {
		call_end(lc);
		return;
	}
	lc->pause.done = pause_over;
	v->io->ops->timer(v->io, &lc->pause, io_now(v->io) + PAUSE_NS);
}

static void shown(void *arg, int err)
{
	struct look_call *lc = arg;

	lc->failed |= err && err != -ENOENT && err != -ESTALE;
	if (!--lc->showing)
		call_over(lc);
}

static void look_answer(struct look_call *lc, struct cobj *o, const struct reval_res *res)
{
	struct vol *v = lc->v;

	if (cobj_is_dir(o) && res->has_entry) {
		lc->showing++;
		dir_shows(v, o, &res->e, shown, lc);
	} else if (!cobj_is_dir(o) && (res->has_entry ? o->version != res->e.attr.version || o->tag != res->e.attr.tag :
				       res->status == -ENOENT)) {
		change_apply(v, AUGUR_INVAL_DATA, o->oid, NULL, NULL, 0, NULL, NULL);
	}
}

static void look_done(struct ask *a, int status, struct wire_in body)
{
	struct look_call *lc = container_of(a, struct look_call, a);
	struct vol *v = lc->v;
	struct reval_res res;
	struct wire_val val;
	u32 told = 0;

	lc->showing = 1;
	while (!status && !v->dead && wire_next(&body, &val) == 1) {
		if (val.tag != WF_ITEM || reval_item_parse((struct wire_in){ val.p, val.p + val.len }, &res))
			continue;
		told += res.has_entry || res.status == -ENOENT;
		for (u32 i = 0; i < lc->n; i++)
			if (!memcmp(lc->o[i]->oid, res.oid, AUGUR_OID_LEN))
				look_answer(lc, lc->o[i], &res);
	}
	/* The owner's disk may have failed for some of them. */
	shown(lc, status ? status : told < lc->n ? -EIO : 0);
}

/* Those of one owner; the others take the next turn. */
static void look_ask(struct look_call *lc)
{
	struct vol *v = lc->v;
	u32 n = lc->n, pu = n ? lc->o[0]->pu : 0;

	if (!n || v->dead || !v->m || !v->map) {
		call_over(lc);
		return;
	}
	wire_out_init(&lc->a.body);
	lc->n = 0;
	for (u32 i = 0; i < n; i++) {
		struct cobj *o = lc->o[i];
		size_t mark;

		if (place_owner(v->map, o->pu) != place_owner(v->map, pu)) {
			look_at(v, o->oid);
			cobj_put(v->c, o);
			continue;
		}
		mark = wire_nest(&lc->a.body, WF_ITEM);
		ask_put_object(&lc->a.body, o);
		wire_put_u64(&lc->a.body, WF_VERSION, o->version);
		wire_put_u64(&lc->a.body, WF_TAG, 0);		/* of no state: the answer has the entry of now */
		wire_nest_end(&lc->a.body, mark);
		lc->o[lc->n++] = o;
	}
	lc->a.v = v;
	lc->a.type = WIRE_REVAL;
	lc->a.pu = pu;
	lc->a.done = look_done;
	ask_start(&lc->a);
}

static void known(struct look_call *lc, struct cobj *o)
{
	if (o) {
		cobj_get(o);
		lc->o[lc->n++] = o;
	}
	if (!--lc->loading)
		look_ask(lc);
}

struct half { struct look_call *lc; u8 oid[AUGUR_OID_LEN]; };

static void recovered(void *arg, struct cobj *o, int err)
{
	struct half *h = arg;
	struct look_call *lc = h->lc;

	if (!o && err != -ENOENT && err != -ESTALE)
		memcpy(lc->lost[lc->nlost++], h->oid, AUGUR_OID_LEN);
	free(h);
	known(lc, o);
}

static void loaded(void *arg, struct cobj *o)
{
	struct look_call *lc = arg;
	struct half *h;
	struct fh fh;

	if (!o || !(o->flags & COBJ_HALF)) {
		known(lc, o);
		return;
	}
	/* Its row was lost: the listing of the directory above, which has its entry of now, makes it whole. */
	fh = o->fh;
	h = xmalloc(sizeof(*h));
	h->lc = lc;
	memcpy(h->oid, o->oid, AUGUR_OID_LEN);
	recover_object(lc->v, h->oid, &fh, recovered, h);
}

static void look_more(struct vol *v)
{
	struct look_call *lc;

	if (v->look_call || !v->looks.live)
		return;
	lc = v->look_call = xcalloc(1, sizeof(*lc));
	lc->v = vol_get(v);
	/* Through the index, in a later step: the notice that led here has others beside it. */
	while (!list_empty(&v->lookq) && lc->loading < LOOK_ITEMS) {
		struct look *l = list_first(&v->lookq, struct look, link);

		list_del(&l->link);
		map_del(&v->looks, l->oid);
		lc->loading++;
		cobj_load_any(v->c, l->oid, loaded, lc);
		free(l);
	}
}

void look_init(struct vol *v)
{
	list_init(&v->lookq);
	map_init(&v->looks, offsetof(struct look, oid), AUGUR_OID_LEN);
}

void look_dir(struct vol *v, const u8 *oid)
{
	if (v->looks.live < LOOK_MAX)
		look_at(v, oid);
}

void look_at(struct vol *v, const u8 *oid)
{
	struct look *l;

	if (v->dead || !v->m || map_get(&v->looks, oid))
		return;
	l = xcalloc(1, sizeof(*l));
	memcpy(l->oid, oid, AUGUR_OID_LEN);
	map_put(&v->looks, l);
	list_add_tail(&v->lookq, &l->link);
	look_more(v);
}

void look_drop(struct vol *v)
{
	while (!list_empty(&v->lookq)) {
		struct look *l = list_first(&v->lookq, struct look, link);

		list_del(&l->link);
		map_del(&v->looks, l->oid);
		free(l);
	}
}

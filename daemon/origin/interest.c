// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Interest: the objects that somebody was told about and may trust, with the state he was
 * told.  A change of such an object is recorded in its shard and pushed; the entry goes with
 * it, since nobody trusts the old state any longer without having been told.  Events on
 * objects that are not here concern nobody.  Loop thread.
 *
 * An object is noted when its worker comes back, a moment after it was looked at.  Events of
 * that moment found no interest, or were told already and took it along; they are kept in a short
 * list by number, and an object that is on it since its job began is looked at once more.  So is
 * one that is noted in another state than before: which of the two is older nobody has said.
 */
#include "base/log.h"
#include "origin/impl.h"

#define INTEREST_MAX	(512 * 1024)
#define EVICT_PROBES	16

struct origin_interest *origin_interest_get(struct origin *o, const u8 oid[AUGUR_OID_LEN])
{
	return map_get(&o->interest, oid);
}

void origin_event_note(struct origin *o, const u8 oid[AUGUR_OID_LEN])
{
	memcpy(&o->events[o->event_no % ORIGIN_EVENTS], oid, 8);
	o->event_no++;
}

static void interest_del(struct origin *o, struct origin_interest *in)
{
	map_del(&o->interest, in->oid);
	free(in);
}

void origin_interest_changed(struct origin *o, struct origin_interest *in, u64 tag, bool gone,
			     const struct origin_client *skip)
{
	struct origin_change c = { .kind = S_ISREG(in->mode) ? AUGUR_INVAL_DATA :
					   S_ISDIR(in->mode) ? AUGUR_INVAL_DIR : AUGUR_INVAL_ATTR };

	/*
	 * The asker is told by his answer, and by the next renewal all the same: an answer that he
	 * could not put into his cache told him nothing.  The tag lets him see that he has it.
	 */
	c.tag = skip && !gone && !in->vague ? tag : 0;
	memcpy(c.oid, in->oid, AUGUR_OID_LEN);
	origin_open_drop(o, in->oid);
	origin_change(o, in->pu, in->mask, skip, &c);
	if (origin_is_root(&o->ex, in->oid))
		origin_root_refresh(o);
	if (gone || !skip) {
		/* A directory's names are still trusted, one by one. */
		if (gone || !S_ISDIR(in->mode))
			interest_del(o, in);
		else
			in->tag = tag;
		return;
	}
	in->tag = tag;
	in->mask = 0;
}

/* Room for one more: some entry is given up, and those who trust it are told. */
static void interest_evict(struct origin *o)
{
	u64 at;
	size_t iter;
	struct origin_interest *in;

	o->io->ops->random(o->io, &at, sizeof(at));
	iter = o->interest.cap ? at % o->interest.cap : 0;
	in = map_next(&o->interest, &iter);
	if (!in) {
		iter = 0;
		in = map_next(&o->interest, &iter);
	}
	if (in)
		origin_interest_changed(o, in, 0, true, NULL);
}

/* Was there an event on it since number @since that found no interest? */
static bool missed_event(const struct origin *o, const u8 oid[AUGUR_OID_LEN], u64 since)
{
	u64 half;

	if (o->event_no == since)
		return false;
	if (o->event_no - since > ORIGIN_EVENTS)
		return true;
	memcpy(&half, oid, 8);
	for (u64 n = since; n < o->event_no; n++)
		if (o->events[n % ORIGIN_EVENTS] == half)
			return true;
	return false;
}

static struct origin_interest *interest_new(struct origin *o, const struct origin_seen *s)
{
	struct origin_interest *in;
	u32 limit = o->cfg.interest_max ? o->cfg.interest_max : INTEREST_MAX;

	if (o->interest.live >= limit)
		interest_evict(o);
	in = xcalloc(1, sizeof(*in) + s->loc.len);
	memcpy(in->oid, s->loc.oid, AUGUR_OID_LEN);
	in->tag = s->tag;
	in->type = s->loc.type;
	in->len = s->loc.len;
	memcpy(in->handle, s->loc.handle, s->loc.len);
	map_put(&o->interest, in);
	return in;
}

void origin_interest_note(struct origin_client *cl, const struct origin_seen *seen, u32 n, u64 since_event)
{
	struct origin *o = cl->o;

	for (u32 i = 0; i < n; i++) {
		const struct origin_seen *s = &seen[i];
		struct origin_interest *in = map_get(&o->interest, s->loc.oid);
		bool other = in && in->tag != s->tag;

		if (!in)
			in = interest_new(o, s);
		else if (other)		/* the serve itself has seen a change; of a list one name does not tell it */
			origin_interest_changed(o, in, s->tag, false, s->part ? NULL : cl);
		in->pu = s->loc.pu;
		in->mode = s->mode;
		in->vague |= s->vague;
		in->mask |= 1ULL << cl->slot;
		if (other || missed_event(o, s->loc.oid, since_event))
			origin_watch_check(o, in);
	}
}

void origin_interest_free(struct origin *o)
{
	struct origin_interest *in;
	size_t iter = 0;

	while ((in = map_next(&o->interest, &iter)))
		free(in);
	map_free(&o->interest);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Changes made at the origin by others: pushed to those who asked, told at the next lease to
 * those who were away, by events and by looking again and again.
 */
#include "origin_test.h"

static bool told(u32 kind, const u8 oid[16], const char *name)
{
	for (u32 i = 0; i < ninval; i++)
		if (inval[i].kind == kind && !memcmp(inval[i].oid, oid, 16) && (!name || !strcmp(inval[i].name, name)))
			return true;
	return false;
}

static bool wait_told(u32 kind, const u8 oid[16], const char *name, unsigned int ms)
{
	for (unsigned int t = 0; t < ms && !told(kind, oid, name); t += 10)
		run_until(NULL, 10);
	return told(kind, oid, name);
}

static struct ask *lease(const u8 oid[16], u64 seq)
{
	struct ask *a = ask_new();
	size_t mark = wire_nest(&a->c.req, WF_ITEM);

	wire_put_u32(&a->c.req, WF_SHARD_ID, place_shard(origin_map(origin), place_pu_dir(oid)));
	wire_put_u64(&a->c.req, WF_SEQ, seq);
	wire_nest_end(&a->c.req, mark);
	return ask_send(a, WIRE_LEASE);
}

static void changes_are_told(void **state)
{
	struct obj f, g;
	struct ask *a;

	if (!use_rescan && strcmp(origin_watch_kind(origin), "fanotify"))
		skip();
	write_file("f", "1");
	write_file("g", "1");
	run_until(NULL, 100);
	a = list(&root);
	ask_free(a);
	f = find(&root, "f");
	g = find(&root, "g");
	run_until(NULL, 100);
	ninval = 0;
	write_file("f", "changed");
	assert_true(wait_told(AUGUR_INVAL_DATA, f.a.oid, NULL, 1000));
	assert_false(told(AUGUR_INVAL_DATA, g.a.oid, NULL));
	ninval = 0;
	write_file("new", "");
	assert_true(wait_told(AUGUR_INVAL_DIR, root.a.oid, NULL, 1000));
	if (!use_rescan)
		assert_true(told(AUGUR_INVAL_ENTRY, root.a.oid, "new"));
	ninval = 0;
	unlink(at("g"));
	assert_true(wait_told(AUGUR_INVAL_DIR, root.a.oid, NULL, 1000));
	if (!use_rescan)
		assert_true(told(AUGUR_INVAL_ENTRY, root.a.oid, "g"));
}

static void leases_tell_what_was_missed(void **state)
{
	struct ask *a;
	u64 seq;

	if (strcmp(origin_watch_kind(origin), "fanotify"))
		skip();
	write_file("f", "1");
	run_until(NULL, 100);
	a = list(&root);
	seq = a->seq;
	ask_free(a);
	a = lease(root.a.oid, 0);
	assert_int_equal(a->item_status[0], 0);
	assert_int_equal(a->reset, 1);
	ask_free(a);
	a = lease(root.a.oid, seq);
	assert_int_equal(a->reset, 0);
	ask_free(a);
	write_file("new", "1");
	run_until(NULL, 150);
	ninval = 0;
	a = lease(root.a.oid, seq);
	assert_int_equal(a->reset, 0);
	assert_true(a->seq > seq);
	assert_true(told(AUGUR_INVAL_ENTRY, root.a.oid, "new"));
	assert_true(told(AUGUR_INVAL_DIR, root.a.oid, NULL));
	seq = a->seq;
	ask_free(a);
	a = lease(root.a.oid, seq - 100000);	/* before this process */
	assert_int_equal(a->reset, 1);
	ask_free(a);
	a = lease(root.a.oid, seq + 5);		/* never given out */
	assert_int_equal(a->reset, 1);
	assert_true(a->seq > seq + 5);
	ask_free(a);
	/* A second connection that brings a number from before gets everything of the shard. */
	end();
	start();
	a = lease(root.a.oid, seq);
	assert_int_equal(a->reset, 1);		/* another process: nothing is known of it */
	ask_free(a);
}

/* An answer of before a change that comes when that has been told: its asker is told again. */
static void a_late_answer_is_compared(void **state)
{
	struct origin_client *cl;
	struct origin_interest *in;
	struct origin_seen seen = { .tag = 0 };
	struct obj f;
	u64 since;

	if (strcmp(origin_watch_kind(origin), "fanotify"))
		skip();
	write_file("f", "1");
	run_until(NULL, 100);
	ask_free(list(&root));
	f = find(&root, "f");
	run_until(NULL, 100);
	for (int i = 0; i < 2; i++) {
		cl = list_first(&origin->clients, struct origin_client, link);
		in = origin_interest_get(origin, f.a.oid);
		assert_non_null(in);
		seen.tag = in->tag;
		seen.mode = in->mode;
		seen.loc.pu = in->pu;
		seen.loc.type = in->type;
		seen.loc.len = in->len;
		memcpy(seen.loc.oid, in->oid, AUGUR_OID_LEN);
		memcpy(seen.loc.handle, in->handle, in->len);
		since = origin->event_no;
		ninval = 0;
		write_file("f", i ? "changed again" : "changed");
		assert_true(wait_told(AUGUR_INVAL_DATA, f.a.oid, NULL, 1000));
		/* The second time somebody has asked in between. */
		if (i)
			find(&root, "f");
		run_until(NULL, 200);
		ninval = 0;
		origin_interest_note(cl, &seen, 1, since);
		assert_true(wait_told(AUGUR_INVAL_DATA, f.a.oid, NULL, 1000));
		find(&root, "f");
		run_until(NULL, 100);
	}
}

static int run_group(void)
{
	const struct CMUnitTest tests[] = {
		T(changes_are_told),
		cmocka_unit_test_setup_teardown(changes_are_told, setup_rescan, teardown),
		T(leases_tell_what_was_missed),
		T(a_late_answer_is_compared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return origin_tests(run_group);
}

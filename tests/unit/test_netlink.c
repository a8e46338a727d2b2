// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the kernel's error messages say: the errno, and its sentence wherever the message that
 * failed ends; lengths that lie lead nowhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <limits.h>

#include "upcall/nl.h"

static struct nlmsghdr *msg;

/* An error about a message that says to be @about bytes long, of which @kept are there. */
static void error_msg(int error, u32 about, size_t kept, u16 flags, const char *text, size_t text_len)
{
	size_t len = NLMSG_HDRLEN + sizeof(struct nlmsgerr) + kept, room = text ? NLA_HDRLEN + NLA_ALIGN(text_len) : 0;
	struct nlmsgerr *e;
	struct nlattr *a;

	free(msg);
	msg = xcalloc(1, len + room);	/* exact, so that the sanitizer sees a byte too far */
	msg->nlmsg_len = len + room;
	msg->nlmsg_type = NLMSG_ERROR;
	msg->nlmsg_flags = flags;
	e = nlmsg_data(msg);
	e->error = error;
	e->msg.nlmsg_len = about;
	if (text) {
		a = (void *)((u8 *)msg + len);
		a->nla_type = NLMSGERR_ATTR_MSG;
		a->nla_len = NLA_HDRLEN + text_len;
		memcpy(nla_data(a), text, text_len);
	}
}

static void expect(int error, const char *want)
{
	const char *text;

	assert_int_equal(nl_error_of(msg, &text), error);
	assert_string_equal(text, want);
}

static void the_sentence(void **state)
{
	error_msg(-EINVAL, 500, 0, NLM_F_ACK_TLVS | NLM_F_CAPPED, "no such mount", 14);
	expect(-EINVAL, "no such mount");
	error_msg(-EINVAL, NLMSG_HDRLEN + 40, 40, NLM_F_ACK_TLVS, "behind the message", 19);
	expect(-EINVAL, "behind the message");
	error_msg(-EINVAL, 500, 0, NLM_F_CAPPED, "not announced", 14);
	expect(-EINVAL, "");
	error_msg(-EINVAL, 500, 0, NLM_F_ACK_TLVS | NLM_F_CAPPED, "no end", 6);
	expect(-EINVAL, "");
	error_msg(0, 500, 0, NLM_F_CAPPED, NULL, 0);
	expect(0, "");
}

static void lengths_that_lie(void **state)
{
	static const u32 about[] = { 0, 1, 15, 17, 4096, INT_MAX, UINT_MAX - 15, UINT_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(about); i++) {
		error_msg(-EPERM, about[i], 8, NLM_F_ACK_TLVS, NULL, 0);
		expect(-EPERM, "");
	}
	error_msg(-EPERM, 500, 0, NLM_F_CAPPED, NULL, 0);
	msg->nlmsg_len = NLMSG_HDRLEN + 3;
	expect(-EBADMSG, "");
}

static void numbers_that_are_none(void **state)
{
	static const int errors[] = { 1, INT_MAX, INT_MIN, -4096 };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		error_msg(errors[i], 500, 0, NLM_F_CAPPED, NULL, 0);
		expect(-EBADMSG, "");
	}
	error_msg(-4095, 500, 0, NLM_F_CAPPED, NULL, 0);
	expect(-4095, "");
}

static int teardown(void **state)
{
	free(msg);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sentence), cmocka_unit_test(lengths_that_lie), cmocka_unit_test(numbers_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}

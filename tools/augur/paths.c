// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * paths.c - the paths that a verb was given, sent to augurd as it takes them.
 *
 * A request is of one mount and has at most CTL_REQ_MAX bytes, so a long list goes in several,
 * one after the other; the caller adds up what they say.
 *
 * augurd cannot look a name up in the mount that it serves.  If it answers that it does not know
 * one, this command looks, as any process would, and asks again; no other command that talks to
 * augurd touches a mount, and this one does so only while augurd answers.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include "augur.h"

#define BATCH_BYTES (CTL_REQ_MAX / 4)	/* of paths; JSON may write a byte in up to six */

void paths_init(struct paths *p, struct augur *a)
{
	memset(p, 0, sizeof(*p));
	p->a = a;
	p->m = xcalloc(MOUNTS_MAX, sizeof(*p->m));
	p->nm = mounts_read(p->m);
}

void paths_free(struct paths *p)
{
	while (p->n)
		free(p->p[--p->n].text);
	free(p->p);
	free(p->m);
}

int paths_take(struct augur *a, const char *arg, const struct mount *m, size_t n, char path[PATH_MAX])
{
	int err = path_absolute(arg, m, n, path, PATH_MAX);
	json_t *text = err ? NULL : json_string(path);

	if (err)
		fault_set(&a->fault, AUGUR_E_USAGE, -err, "%s: %s", printable(arg), strerror(-err));
	else if (!text)
		fault_set(&a->fault, AUGUR_E_USAGE, EILSEQ, "%s: the name is not UTF-8, so augurd cannot be asked for it; name a directory above",
			  printable(path));
	if (!err && !text)
		err = -EILSEQ;
	json_decref(text);
	return err;
}

int paths_add(struct paths *p, const char *arg)
{
	char path[PATH_MAX];
	int err = paths_take(p->a, arg, p->m, p->nm, path);

	if (err)
		return err;
	p->p = xrealloc(p->p, sizeof(*p->p) * (p->n + 1));
	p->p[p->n++] = (struct named){ .text = xstrdup(path), .m = mount_of(p->m, p->nm, path) };
	return 0;
}

static bool same_mount(const struct mount *a, const struct mount *b)
{
	return a == b || (a && b && a->id && a->id == b->id);
}

static json_t *request_of(const json_t *more, json_t *list)
{
	json_t *req = json_object();

	json_object_update(req, (json_t *)more);
	json_object_set_new(req, "paths", list);
	return req;
}

/* Those that are left of the mount of the first that is left, as many as fit; the last of them is marked sent. */
static json_t *batch(struct paths *p, size_t first, size_t *count)
{
	json_t *list = json_array();
	size_t bytes = 0;

	*count = 0;
	for (size_t i = first; i < p->n && (!*count || bytes + strlen(p->p[i].text) < BATCH_BYTES); i++) {
		if (p->p[i].sent || !same_mount(p->p[i].m, p->p[first].m))
			continue;
		json_array_append_new(list, json_string(p->p[i].text));
		bytes += strlen(p->p[i].text) + 4;
		p->p[i].sent = true;
		(*count)++;
	}
	return list;
}

static int look_up(struct augur *a, const char *path)
{
	struct stat st;

	if (!lstat(path, &st))
		return 0;
	fault_set(&a->fault, AUGUR_E_PATH, errno, "%s: %s", printable(path), strerror(errno));
	return -a->fault.err;
}

/* augurd refused a path of a mount: it may not know the name yet. */
static bool is_unknown(const struct augur *a, const struct mount *m)
{
	return m && a->fault.code && !strcmp(a->fault.code, "AUGUR_E_NOT_MOUNTED");
}

static json_t *ask(struct paths *p, const json_t *more, json_t *list, const struct mount *m, client_line_fn *line, void *ctx)
{
	json_t *ans = client_call(p->a, request_of(more, json_incref(list)), line, ctx), *path;
	size_t i;

	if (ans || !is_unknown(p->a, m))
		return ans;
	json_array_foreach(list, i, path)
		if (look_up(p->a, json_string_value(path)))
			return NULL;
	return client_call(p->a, request_of(more, json_incref(list)), line, ctx);
}

int paths_ask(struct paths *p, const json_t *more, client_line_fn *line, paths_sum_fn *sum, void *ctx)
{
	for (size_t i = 0; i < p->n; i++) {
		json_t *ans, *list;
		size_t n;

		if (p->p[i].sent)
			continue;
		list = batch(p, i, &n);
		ans = ask(p, more, list, p->p[i].m, line, ctx);
		json_decref(list);
		if (!ans)
			return -EIO;
		sum(ctx, ans);
		json_decref(ans);
	}
	return 0;
}

json_t *paths_where(struct augur *a, const struct mount *m, const char *path)
{
	static const struct verb where = { .name = "where" };
	const struct verb *own = a->verb;
	json_t *ans = NULL;

	a->verb = &where;
	for (int tries = 0; !ans && tries < 2; tries++) {
		if (tries && (!is_unknown(a, m) || look_up(a, path)))
			break;
		ans = client_call(a, json_pack("{s:s%}", "path", path, strlen(path)), NULL, NULL);
	}
	a->verb = own;
	return ans;
}

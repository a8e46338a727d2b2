// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * status_proxy.c - "augur status" asked of a proxy: what it serves, and who else does.
 */
#include <string.h>
#include "augur.h"

static const char *number(long long v)
{
	static char bufs[16][24];
	static unsigned int turn;
	char *buf = bufs[turn++ % ARRAY_SIZE(bufs)];

	snprintf(buf, sizeof(bufs[0]), "%lld", v);
	return buf;
}

static void print_volumes(json_t *vols)
{
	static const char *const cols[] = { "VOLUME", "STATE", ">SHARDS", ">MAP", ">REQUESTS", ">SERVED", ">CHANGES",
					    "WATCH", "ORIGIN", NULL };
	struct table *t = table_new(cols);
	json_t *v;
	size_t i;

	json_array_foreach(vols, i, v)
		table_row(t, (const char *const[]){
			printable(json_str(v, "volume", "?")), json_bool(v, "joined", true) ? "joined" : "not joined",
			number(json_int(v, "shards", 0)), number(json_int(v, "map_version", 0)),
			number(json_int(v, "requests", 0)),
			human_bytes((unsigned long long)json_int(v, "served_bytes", 0)),
			number(json_int(v, "origin_changes_seen", 0)), printable(json_str(v, "watch", "-")),
			printable(json_str(v, "origin", "-")) });
	table_print(t, stdout);
}

static void print_peers(json_t *peers)
{
	static const char *const cols[] = { "PROXY", "STATE", ">SHARDS", "ADDRESS", NULL };
	struct table *t;
	json_t *p;
	size_t i;

	if (!json_array_size(peers))
		return;
	t = table_new(cols);
	json_array_foreach(peers, i, p)
		table_row(t, (const char *const[]){
			printable(json_str(p, "id", "?")), printable(json_str(p, "state", "?")),
			number(json_int(p, "shards", 0)), printable(json_str(p, "addr", "-")) });
	putchar('\n');
	table_print(t, stdout);
}

bool status_proxy_is_fine(json_t *ans)
{
	json_t *v, *p;
	size_t i, k;

	json_array_foreach(json_object_get(ans, "volumes"), i, v) {
		if (!json_bool(v, "joined", true))
			return false;
		json_array_foreach(json_object_get(v, "peers"), k, p)
			if (!strcmp(json_str(p, "state", "up"), "down"))
				return false;
	}
	return true;
}

void status_proxy_print(json_t *ans)
{
	json_t *vols = json_object_get(ans, "volumes");

	printf(" proxy: %-20s state: %s\n", printable(json_str(ans, "id", "?")),
	       status_proxy_is_fine(ans) ? "ONLINE" : "DEGRADED");
	printf("listen: %s, %lld connections, up %s; the store is %s\n", printable(json_str(ans, "listen", "?")),
	       json_int(ans, "connections", 0), human_time((unsigned long long)json_int(ans, "uptime_s", 0)),
	       printable(json_str(ans, "store", "?")));
	if (json_object_get(ans, "io"))
		printf("    io: %s (%s)\n", printable(json_str(ans, "io", "?")), printable(json_str(ans, "io_why", "")));
	putchar('\n');
	if (!status_proxy_is_fine(ans))
		puts("status: a volume is not joined, or a proxy of it never has.\n"
		     "action: see 'augur doctor' with the same --ctl.\n");
	print_volumes(vols);
	/* the proxies are those of the first volume: one set serves all that a proxy exports */
	print_peers(json_object_get(json_array_get(vols, 0), "peers"));
}

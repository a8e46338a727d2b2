// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * progress.c - a bar, bytes and time left for work that takes long.
 *
 * The bar goes to stderr, so that the result on stdout can be piped.  On something that is
 * not a terminal nothing is drawn; with --json each step is one line {"progress": {...}}.
 */
#include <string.h>
#include <sys/ioctl.h>
#include "augur.h"

#define BAR_WIDTH 24

void progress_init(struct progress *p, struct augur *a)
{
	memset(p, 0, sizeof(*p));
	p->lines = a->json;
	p->bar = !a->json && isatty(STDERR_FILENO);
}

static unsigned int terminal_width(void)
{
	struct winsize ws;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) || ws.ws_col < 20)
		return 80;
	return ws.ws_col;
}

static void draw(struct progress *p, json_t *obj)
{
	long long bytes = json_int(obj, "bytes", 0), total = json_int(obj, "total_bytes", 0);
	long long files = json_int(obj, "files", 0), total_files = json_int(obj, "total_files", 0);
	long long eta = json_int(obj, "eta_s", -1);
	double part = total > 0 ? (double)bytes / (double)total :
		      total_files > 0 ? (double)files / (double)total_files : 0;
	int full = part < 0 ? 0 : part > 1 ? BAR_WIDTH : (int)(part * BAR_WIDTH);
	char text[256], bar[BAR_WIDTH + 1];

	memset(bar, ' ', BAR_WIDTH);
	memset(bar, '=', (size_t)full);
	if (full && full < BAR_WIDTH)
		bar[full - 1] = '>';
	bar[BAR_WIDTH] = '\0';
	snprintf(text, sizeof(text), "[%s] %3.0f%%  %lld/%lld files  %s/%s%s%s", bar, part * 100,
		 files, total_files, human_bytes((unsigned long long)bytes),
		 human_bytes((unsigned long long)total), eta >= 0 ? "  about " : "",
		 eta >= 0 ? human_time((unsigned long long)eta) : "");
	text[min((unsigned int)sizeof(text), terminal_width()) - 1] = '\0';
	fprintf(stderr, "\r%-*s", p->last_len, text);
	p->last_len = (int)strlen(text);
	p->shown = true;
}

void progress_show(struct progress *p, json_t *obj)
{
	if (p->lines)
		json_line(json_pack("{s:O}", "progress", obj));
	else if (p->bar)
		draw(p, obj);
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputc('\n', stderr);
	p->shown = false;
}

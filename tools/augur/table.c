// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * table.c - aligned columns and figures for people.
 *
 * Widths are counted in characters, not bytes, so that names in UTF-8 stay aligned.
 */
#include <string.h>
#include "augur.h"

struct table {
	unsigned int	ncols, nrows;
	bool		right[TABLE_COLS];
	char		**cells;	/* nrows * ncols, the header first */
};

static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

void table_row(struct table *t, const char *const *cells)
{
	unsigned int i;

	t->cells = xrealloc(t->cells, sizeof(char *) * (t->nrows + 1) * t->ncols);
	for (i = 0; i < t->ncols; i++)
		t->cells[t->nrows * t->ncols + i] = xstrdup(cells[i] ? cells[i] : "-");
	t->nrows++;
}

struct table *table_new(const char *const *cols)
{
	struct table *t = xcalloc(1, sizeof(*t));
	const char *names[TABLE_COLS];

	for (; cols[t->ncols] && t->ncols < TABLE_COLS; t->ncols++) {
		t->right[t->ncols] = cols[t->ncols][0] == '>';
		names[t->ncols] = cols[t->ncols] + t->right[t->ncols];
	}
	table_row(t, names);
	return t;
}

static void print_cell(const struct table *t, const char *s, size_t w, unsigned int col, FILE *out)
{
	int pad = (int)(w - width(s));

	if (t->right[col])
		fprintf(out, " %*s%s", pad, "", s);
	else if (col + 1 < t->ncols)
		fprintf(out, " %s%*s", s, pad, "");
	else
		fprintf(out, " %s", s);
}

void table_print(struct table *t, FILE *out)
{
	size_t w[TABLE_COLS] = { 0 };
	unsigned int r, c;

	for (r = 0; r < t->nrows; r++)
		for (c = 0; c < t->ncols; c++)
			w[c] = max(w[c], width(t->cells[r * t->ncols + c]));
	for (r = 0; r < t->nrows; r++) {
		for (c = 0; c < t->ncols; c++) {
			print_cell(t, t->cells[r * t->ncols + c], w[c], c, out);
			if (c + 1 < t->ncols)
				fputc(' ', out);
			free(t->cells[r * t->ncols + c]);
		}
		fputc('\n', out);
	}
	free(t->cells);
	free(t);
}

static char *rotating(void)
{
	static char bufs[16][32];
	static unsigned int turn;

	return bufs[turn++ % ARRAY_SIZE(bufs)];
}

const char *human_bytes(unsigned long long n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	char *buf = rotating();
	double v = (double)n;
	unsigned int u = 0;

	for (; v >= 1024 && u + 1 < ARRAY_SIZE(units); u++)
		v /= 1024;
	snprintf(buf, 32, u && v < 100 ? "%.1f %s" : "%.0f %s", v, units[u]);
	return buf;
}

const char *human_time(unsigned long long s)
{
	char *buf = rotating();

	if (s < 60)
		snprintf(buf, 32, "%llus", s);
	else if (s < 3600)
		snprintf(buf, 32, "%llum%02llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, 32, "%lluh%02llum", s / 3600, s / 60 % 60);
	else
		snprintf(buf, 32, "%llud%lluh", s / 86400, s / 3600 % 24);
	return buf;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doctor.h - what the checks of "augur doctor" share.
 */
#ifndef AUGUR_TOOLS_DOCTOR_H
#define AUGUR_TOOLS_DOCTOR_H

#include "augur.h"

enum check_state { CHECK_OK, CHECK_WARN, CHECK_FAIL };

struct checkup {
	json_t		*list;		/* --json: one object a check; else NULL and text is printed */
	unsigned int	count[3];
};

void check_add(struct checkup *c, enum check_state s, const char *name, const char *fix, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* -------- doctor_net.c -------- */
/* Dials each proxy of PROXY[,PROXY...]:/VOLUME, each within CHECK_DIAL_MS. */
#define CHECK_DIAL_MS 2000
void check_source(struct checkup *c, const char *source);

#endif

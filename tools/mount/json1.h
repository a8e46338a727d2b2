/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * json1.h - the little of JSON that the mount helper needs: scalars of the top-level object
 * of one line, and a quoted string to send.
 *
 * The helper links nothing but the C library, so that a mount at boot cannot fail on a
 * missing shared object.  The reader checks the whole line, nested values included, and
 * never reads beyond @len.
 */
#ifndef AUGUR_MOUNT_JSON1_H
#define AUGUR_MOUNT_JSON1_H

#include <stdbool.h>
#include <stddef.h>

enum json1_kind { JSON1_ABSENT, JSON1_STRING, JSON1_TRUE, JSON1_FALSE, JSON1_NUMBER, JSON1_OTHER };

/* 0 if @line is one well-formed JSON object and nothing else, else -EBADMSG. */
int json1_check(const char *line, size_t len);
/*
 * The member @key of the top-level object of a checked line.  Strings and numbers are copied,
 * unescaped, cut to @cap and terminated; control characters become '?', because the text
 * goes to a terminal.
 */
enum json1_kind json1_get(const char *line, size_t len, const char *key, char *out, size_t cap);
/* Writes @s as a JSON string with its quotes: bytes written, or -ENOSPC. */
int json1_quote(const char *s, char *out, size_t cap);

#endif

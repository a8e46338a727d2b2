/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h - one event per line, key=value, on stderr with the <N> prefixes the journal reads.
 * No secrets; peer bytes only through log_esc().  Any thread.
 */
#ifndef AUGUR_BASE_LOG_H
#define AUGUR_BASE_LOG_H

#include <stddef.h>

enum log_level { LOG_L_ERR = 3, LOG_L_WARN = 4, LOG_L_NOTICE = 5, LOG_L_INFO = 6, LOG_L_DEBUG = 7 };

extern enum log_level log_level;
void log_open(const char *name, enum log_level level);	/* name: "augurd[p1]" */
void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Printable copy of untrusted bytes in one of 4 rotating static buffers per thread. */
const char *log_esc(const void *buf, size_t len);

#define log_err(...)	log_msg(LOG_L_ERR, __VA_ARGS__)
#define log_warn(...)	log_msg(LOG_L_WARN, __VA_ARGS__)
#define log_notice(...)	log_msg(LOG_L_NOTICE, __VA_ARGS__)
#define log_info(...)	log_msg(LOG_L_INFO, __VA_ARGS__)
#define log_debug(...)	do { if (log_level >= LOG_L_DEBUG) log_msg(LOG_L_DEBUG, __VA_ARGS__); } while (0)

#endif

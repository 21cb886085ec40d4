/* SPDX-License-Identifier: MIT */
/*
 * Lines for whoever runs the builder: to the caller's log function, if there is one.
 */
#ifndef BUILD_LOG_H
#define BUILD_LOG_H

#include <usplice/build.h>

void build_log(const struct usp_cc_options *options, enum usp_log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif

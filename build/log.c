// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/compiler.h"

void build_log(const struct usp_cc_options *options, enum usp_log_level level, const char *format, ...)
{
	if (!options->log)
		return;
	_cleanup_free_ char *line = NULL;
	va_list ap;
	va_start(ap, format);
	if (vasprintf(&line, format, ap) < 0)
		line = NULL;
	va_end(ap);
	options->log(options->log_context, level, line ? line : "out of memory");
}

/* SPDX-License-Identifier: MIT */
/*
 * What the victims share: they say "ready", then answer one line on stdin by one line on stdout until stdin
 * ends, so that a test waits for answers and never for a time. VICTIM marks a function that tests replace:
 * the compiler may not inline it or learn anything from its body.
 */
#ifndef VICTIM_H
#define VICTIM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#if defined(__GNUC__) && !defined(__clang__)
#define VICTIM __attribute__((noipa, visibility("default")))
#else
#define VICTIM __attribute__((noinline, visibility("default")))
#endif
/* Keeps a function from being seen through by compilers without noipa. */
#define OPAQUE() __asm__ volatile("")

#define VICTIM_LINE 512

/* One line to the test. */
static inline void __attribute__((format(printf, 1, 2))) victim_say(const char *format, ...)
{
	char line[VICTIM_LINE];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(line, sizeof(line) - 1, format, ap);
	va_end(ap);
	if (n < 0 || n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	for (int done = 0; done < n;) {
		ssize_t w = write(1, line + done, (size_t)(n - done));
		if (w <= 0)
			_exit(3);
		done += (int)w;
	}
}

static inline void victim_ready(void)
{
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0,
	      0); /* Yama's ptrace_scope 1: the tool is no ancestor */
	victim_say("ready");
}

/* The next command into line; false at the end of stdin. A read that fails is reported: it must not. */
static inline bool victim_next(char line[VICTIM_LINE])
{
	for (int n = 0; n < VICTIM_LINE - 1;) {
		ssize_t r = read(0, line + n, 1);
		if (r < 0) {
			victim_say("error: read failed");
			return false;
		}
		if (r == 0)
			return false;
		if (line[n] == '\n') {
			line[n] = '\0';
			return true;
		}
		n++;
	}
	return false;
}

static inline unsigned long long victim_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long long)t.tv_sec * 1000000000ull + (unsigned long long)t.tv_nsec;
}

#endif

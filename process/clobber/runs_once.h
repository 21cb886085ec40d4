/* SPDX-License-Identifier: MIT */
/*
 * Code that a process which runs has behind it: a function that is called only from main(), directly and outside of loops,
 * or from other such functions, so that it runs once at most, when the program starts or ends. To replace it changes
 * nothing any more.
 */
#ifndef PROCESS_CLOBBER_RUNS_ONCE_H
#define PROCESS_CLOBBER_RUNS_ONCE_H

#include "process/elf/module.h"

enum runs {
	RUNS_ANYTIME,
	RUNS_ONCE_HERE, /* as far as this program goes: it, or a caller of it, is exported (-rdynamic) */
	RUNS_ONCE,
};

/*
 * The function at a link-time address of the module. Once only if that is certain: what other modules may call, whose
 * address is taken, or that is called from a place that cannot be understood, may run at any time. A child that is forked
 * in main()'s course, and goes on there, is not thought of.
 */
_must_check_ struct usp_error *function_runs_once(struct module *module, uint64_t address, enum runs *ret);

#endif

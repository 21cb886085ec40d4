/* SPDX-License-Identifier: MIT */
/*
 * Making payloads. Needs a compiler (gcc or clang) and binutils' ld on the machine, no target that runs.
 */
#ifndef USPLICE_BUILD_H
#define USPLICE_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <usplice/action.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero-initialise; set size = sizeof(struct usp_cc_options). */
struct usp_cc_options {
	size_t size;
	const char *const *sources; /* C files, or .o files that were compiled with <usplice/payload.h> */
	size_t n_sources;
	const char *output; /* the payload file */
	const char *target; /* path of the ELF file that is patched (the executable or a library), or NULL */
	pid_t pid; /* instead of target: a running process (0: none); its executable, or the module named next
		    */
	const char *module;   /* with pid: base name of the library to patch; NULL: the module that has all
				 functions */
	const char *compiler; /* NULL: $CC, then gcc, then clang */
	const char *const *flags; /* further compiler flags, NULL-terminated, or NULL */
	const char *name; /* payload name; NULL: USPLICE_NAME, else the output's base name without ".usp" */
	bool keep;	  /* keep the intermediate directory and log its name */
	void (*log)(void *context, enum usp_log_level level, const char *line);
	void *log_context;
};

/*
 * Compiles the sources and fills in what the target binary tells: build-ids, sizes, expected bytes, hashes.
 * Checks every function and symbol by name, and the registers that the target's callers rely on (the -fipa-ra
 * trap). The output is written as a whole or not at all.
 */
USP_API struct usp_error *usp_cc(const struct usp_cc_options *options);

#ifdef __cplusplus
}
#endif
#endif

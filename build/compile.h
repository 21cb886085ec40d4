/* SPDX-License-Identifier: MIT */
/*
 * From sources to one relocatable object: the compiler and `ld -r`, each run with no shell. The compiler's
 * own words go to standard error as they are.
 */
#ifndef BUILD_COMPILE_H
#define BUILD_COMPILE_H

#include <usplice/build.h>

#include "build/workdir.h"

struct compiler {
	char **words; /* the command's; owned, NULL-terminated */
	size_t n;
};

/* options->compiler, else $CC (words apart by spaces), else gcc, else clang: the first that can be run. */
_must_check_ struct usp_error *compiler_find(const struct usp_cc_options *options,
					     const struct workdir *workdir, struct compiler *ret);
void compiler_deinit(struct compiler *compiler);

/* Compiles every source that is no .o file and links all into one object at `output`. */
_must_check_ struct usp_error *compile_sources(const struct usp_cc_options *options,
					       const struct workdir *workdir, const struct compiler *compiler,
					       const char *output);

/* Writes <usplice/payload.h> of this very version, so that it is found wherever usplice is installed, or is not.
 * *include: the directory to search, to be freed. */
_must_check_ struct usp_error *compile_header(const struct workdir *workdir, char **include);

/* Assembles one file. */
_must_check_ struct usp_error *compile_assemble(const struct workdir *workdir,
						const struct compiler *compiler, const char *source,
						const char *object);

/*
 * Links object with the info strings ("key=value", n of them) into `output`, with a build-id over it all. The
 * strings may hold anything but NUL.
 */
_must_check_ struct usp_error *compile_finish(const struct workdir *workdir, const struct compiler *compiler,
					      const char *object, const char *const info[], size_t n,
					      const char *output);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Making payloads. Needs a compiler (gcc or clang), binutils' ld and, for usp_build(), patch on the machine, no
 * target that runs.
 */
#ifndef USPLICE_BUILD_H
#define USPLICE_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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

/*
 * Comparing two builds of one source file, before and after a patch, object against object. The objects are taken as
 * the compiler writes them for the target: no -ffunction-sections is needed.
 */
enum usp_diff_verdict {
	USP_DIFF_SAME,
	USP_DIFF_LINE_ONLY, /* only numbers that are a __LINE__ moved, as both line tables prove: no change */
	USP_DIFF_CHANGED,
	USP_DIFF_ADDED,
	USP_DIFF_REMOVED,
};

enum usp_diff_target {
	USP_DIFF_FUNCTION = 1,
	USP_DIFF_VARIABLE, /* writable */
	USP_DIFF_CONSTANT, /* read-only, with or without a name; a jump table */
	USP_DIFF_STRING,
	USP_DIFF_IMPORT, /* defined elsewhere */
	USP_DIFF_OTHER,
};

struct usp_diff_reference {
	enum usp_diff_target target;
	const char *name; /* of a string, its content */
	int64_t addend;	  /* from the start of what it points at */
	uint64_t offset;  /* of the field, in the function */
	unsigned type;	  /* R_X86_64_…; a call or jump, with or without a relocation: R_X86_64_PLT32 */
	enum usp_diff_verdict
		verdict; /* on what it points at: ADDED has to come along; SAME: it is in the target */
};

struct usp_diff_function {
	const char *name;	 /* in the build after; of a removed one, before */
	const char *name_before; /* a clone's number may be another one; NULL: added */
	const char *
		part_of; /* of a .cold part: the function that it belongs to and shares the fate of; or NULL */
	const char *section;
	enum usp_diff_verdict verdict;
	const char *why; /* the first difference, both sides; or NULL */
	uint64_t size_before, size_after;
	bool is_global;
	/* Of changed and added ones, what they refer to. */
	const struct usp_diff_reference *references;
	size_t n_references;
};

struct usp_diff_data {
	const char *name;
	const char *section;
	enum usp_diff_target target; /* VARIABLE or CONSTANT */
	enum usp_diff_verdict verdict;
	const char *why;
	uint64_t size_before, size_after;
	bool is_global;
	bool is_reached; /* a changed or added function refers to it, itself or by way of others */
};

enum usp_diff_problem_kind {
	USP_DIFF_PROBLEM_DATA = 1,  /* the initial value, size or kind of existing data changed */
	USP_DIFF_PROBLEM_AMBIGUOUS, /* what belongs to what cannot be told */
	USP_DIFF_PROBLEM_UNKNOWN,   /* code or a reference that cannot be understood */
	USP_DIFF_PROBLEM_SECTION,   /* a section that may mean anything changed */
	USP_DIFF_PROBLEM_START,	    /* what runs when the program starts or ends changed */
	USP_DIFF_PROBLEM_TLS,	    /* a new thread-local variable */
	USP_DIFF_PROBLEM_SYMBOL,    /* weak, IFUNC, COMDAT, alias: the linker's choice or the loader's */
};

struct usp_diff_problem {
	enum usp_diff_problem_kind kind;
	const char *name;
	const char *text;
};

struct usp_diff_ignored {
	const char *section;
	const char *why;
};

struct usp_diff {
	struct usp_diff_function *functions; /* all, in the order of the build after; then the removed ones */
	size_t n_functions;
	struct usp_diff_data *data; /* what differs */
	size_t n_data;
	struct usp_diff_problem *problems; /* each one a reason not to patch live without a person's word */
	size_t n_problems;
	struct usp_diff_ignored *ignored; /* sections that were not compared */
	size_t n_ignored;
	bool is_same; /* no machine code and no data differ: nothing to patch */
};

/* Zero-initialise; set size = sizeof(struct usp_diff_options). */
struct usp_diff_options {
	size_t size;
};

/*
 * Compares two relocatable objects. options may be NULL. USP_BAD_PAYLOAD: one is broken; USP_UNSUPPORTED: it is
 * something that is not compared (LTO, another machine, not relocatable). What the comparison cannot judge is no
 * error but one of the result's problems. Thread safe. The algorithm follows kpatch's create-diff-object.
 */
USP_API struct usp_error *usp_diff_objects(const char *before, const char *after,
					   const struct usp_diff_options *options, struct usp_diff **diff);
USP_API void usp_diff_destroy(struct usp_diff *diff); /* NULL is fine */

/*
 * From a source patch to a payload: the program's own build is run as the sources are and with the patches, what it
 * compiles is compared, the original is proven to be what the target is made of, and what changed becomes a payload.
 */
enum usp_build_verdict {
	USP_BUILD_READY = 1, /* the payload is written */
	USP_BUILD_NO_CHANGE, /* no code of the target changes: no payload */
	USP_BUILD_REFUSED,   /* it can be dangerous: the findings say why. No payload */
};

enum usp_build_role {
	USP_BUILD_REPLACED = 1,
	USP_BUILD_PART,	     /* a split-off part (.cold): goes with its function */
	USP_BUILD_NEW,	     /* comes along, because what is replaced uses it */
	USP_BUILD_UNREACHED, /* new, and nothing that is replaced uses it: left out */
	USP_BUILD_ABSENT,    /* changed, but the target does not have it (the linker left it out) */
	USP_BUILD_GONE,	     /* not there any more: nothing that is new refers to it */
	USP_BUILD_LINE_ONLY, /* only a __LINE__ moved: no change */
};

struct usp_build_function {
	const char *object; /* path, from the source directory if it lies there */
	const char *name;
	enum usp_build_role role;
	const char *why; /* the first difference on both sides, or NULL */
	uint64_t size_before, size_after;
	uint64_t address; /* link-time, in the target; 0: not there */
};

/* Something that a person has to judge. */
struct usp_build_finding {
	/*
	 * "data", "ambiguous", "unknown", "section", "start", "tls", "symbol": as usp_diff_problem_kind. "layout", "enum",
	 * "signature", "variable", "types": from the debug information. "input": something was linked that no compiler of
	 * this build wrote, or the target may be made of what the patch changes and the build did not compile.
	 * "hooks": the patch has code for usplice that was not compiled. "payload": it cannot be made. "proof": the
	 * rebuilt original is not what the target is made of. The last two cannot be allowed.
	 */
	const char *kind;
	const char *object; /* of several, the first ones: ", " between, and "…" */
	const char *name;
	const char *text;
	bool is_note;	     /* for the reader; does not stand in the way */
	const char *allowed; /* the reason that was given for going on, or NULL */
};

struct usp_build_report {
	enum usp_build_verdict verdict;
	struct usp_build_function *functions;
	size_t n_functions;
	struct usp_build_finding *findings;
	size_t n_findings;
	const char *linked; /* the file of the build that is the target */
	size_t n_rebuilt;   /* objects that the patch had compiled again */
	size_t n_identical; /* of these, byte for byte what they were */
	size_t n_elsewhere; /* of these, not linked into the target */
	size_t n_proven; /* functions of the others that the target has byte for byte, but for relocations */
	double seconds_builds;	  /* the builds */
	double seconds_comparing; /* all the rest */
};

struct usp_build_allow {
	const char *kind;
	const char *reason; /* a person's words; they go into the report and the payload */
};

/* Zero-initialise; set size = sizeof(struct usp_build_options). */
struct usp_build_options {
	size_t size;
	const char *target; /* the ELF file that runs: executable or library */
	const char *source; /* where the patches fit and the build is run; NULL: here */
	const char *const *patches;
	size_t n_patches;
	const char *const *command; /* the build, NULL-terminated */
	const char *output;	    /* the payload file */
	const char *name;	    /* payload name; NULL: the output's base name without ".usp" */
	const char *built;	    /* the file of the build that is the target; NULL: the one of its name */
	const struct usp_build_allow *allow;
	size_t n_allow;
	const char *
		keep; /* a directory that gets the objects of both builds, or has them from a run before; or NULL */
	void (*log)(void *context, enum usp_log_level level, const char *line);
	void (*progress)(void *context, const char *line); /* what is running; may be NULL */
	void *context;
};

/*
 * *report is set when the builds were made and compared, also with an error: USP_NO_CHANGE and USP_UNSUPPORTED (findings)
 * come with one. The source tree is as it was afterwards. Runs the build up to three times: once more as it was, if the
 * first run found everything up to date.
 */
USP_API struct usp_error *usp_build(const struct usp_build_options *options,
				    struct usp_build_report **report);
USP_API void usp_build_report_destroy(struct usp_build_report *report); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/*
 * Looking: what is in a process, and whether a payload would fit. Nothing here stops a thread or writes a
 * byte.
 */
#ifndef USPLICE_LIST_H
#define USPLICE_LIST_H

#include <stdbool.h>
#include <stdio.h>

#include <usplice/action.h>

#ifdef __cplusplus
extern "C" {
#endif

enum usp_state {
	USP_STATE_CHECKED = 1,
	USP_STATE_APPLIED = 2
};

enum usp_unwind {
	USP_UNWIND_NONE = 0,	    /* the payload has no unwind information */
	USP_UNWIND_REGISTERED = 1,  /* the target's unwinder knows the new code: backtrace(), pthread_cancel,
				       exceptions work */
	USP_UNWIND_NO_UNWINDER = 2, /* the target has no libgcc_s loaded that could be told */
	USP_UNWIND_NO_THREAD = 3,   /* no thread could safely be borrowed to tell it */
};

struct usp_function_info {
	const char *name;
	const char *file; /* or NULL */
	const char *module;
	uint64_t old_address, old_size; /* runtime; bytes */
	uint64_t new_address, new_size; /* 0 for a NOP record */
	uint64_t site;			/* where bytes are written */
	uint32_t site_length;
};

/* What it says that it makes of the program's data: USPLICE_STATE(). */
struct usp_data_state {
	const char *name;
	uint32_t version;
};

struct usp_payload_info {
	const char *name;
	const char *version;	 /* or NULL */
	const char *description; /* or NULL */
	const char *build_id;	 /* hex */
	const char *depends;	 /* hex, or NULL */
	const char *module;	 /* base name of the module that it patches */
	const char *module_build_id;
	enum usp_state state;
	int position;	   /* in the stack of applied payloads, 1 is the bottom; 0: not applied */
	bool applied_once; /* was applied at some time */
	bool writable_data;
	enum usp_code last_result; /* of the last action on it */
	const char *last_action;   /* "upload", "apply", … */
	uint64_t base, size;	   /* the image in the target */
	enum usp_unwind unwind;
	const struct usp_function_info *functions;
	size_t n_functions;
	const struct usp_data_state *data_states;
	size_t n_data_states;
	unsigned hooks; /* bit i: has hooks of kind i, in the order of docs/payload-format.md */
};

struct usp_list {
	struct usp_payload_info *payloads; /* in the order of upload */
	size_t n_payloads;
	bool unfinished; /* a killed controller left an action in the middle; the next action finishes or
			    undoes it */
};

USP_API struct usp_error *usp_list_get(struct usp_process *process, struct usp_list **list);
USP_API void usp_list_destroy(struct usp_list *list); /* NULL is fine */

struct usp_check_line {
	const char *name;
	bool fits;
	const char *reason; /* why not, or NULL */
};

struct usp_check {
	char name[64];
	bool fits; /* upload would succeed */
	struct usp_check_line *functions;
	size_t n_functions;
	const char *reason;	/* for the payload as a whole, or NULL */
	enum usp_code code;	/* what upload would return */
	enum usp_unwind unwind; /* what would become of it */
	/* "TID name: function": sleeping threads that seem to be inside now (64 at most); no obstacle by
	 * itself. */
	const char **busy_threads;
	size_t n_busy_threads;
};

/* Would the payload in file fit, function by function? An error is about the question, not about the answer.
 */
USP_API struct usp_error *usp_check(struct usp_process *process, const char *file,
				    const struct usp_options *options, struct usp_check **check);
USP_API void usp_check_destroy(struct usp_check *check);

/* Prints gdb commands that give correct, named backtraces through payload code. */
USP_API struct usp_error *usp_print_gdb(struct usp_process *process, FILE *out);

#ifdef __cplusplus
}
#endif
#endif

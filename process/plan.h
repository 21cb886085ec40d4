/* SPDX-License-Identifier: MIT */
/*
 * Would this payload fit this target? Everything that can be found out without stopping a thread or writing a
 * byte, function by function. Both `check` and `upload` rest on it, so that they cannot disagree.
 */
#ifndef PROCESS_PLAN_H
#define PROCESS_PLAN_H

#include "payload/image.h"
#include "payload/payload.h"
#include "process/session.h"

struct plan_function {
	char *name;	      /* for messages: the payload's, or the hex address; owned */
	uint64_t old_address; /* runtime */
	uint64_t old_size;
	uint64_t site;
	uint32_t site_length;
	uint8_t original[RECORD_SITE_MAX]; /* the site's bytes when nothing is applied */
	struct range_set ranges;	   /* inside the old function, entry included; not sealed */
	struct usp_error *error;	   /* why it does not fit, or NULL */
};

struct plan {
	struct payload *payload;
	char name[PAYLOAD_NAME_MAX + 1]; /* the payload's, or its file's base name */
	struct module *module;		 /* NULL when error says that there is none */
	struct plan_function *functions; /* payload->n_functions of them */
	struct usp_error *error;	 /* about the payload as a whole, or NULL */
};

/* Reads and checks the payload file alone. */
_must_check_ struct usp_error *plan_read_payload(const char *file, struct payload **ret);

/*
 * Reads the payload file and judges it. The returned error is about the file (not there, malformed); what
 * does not fit is in plan->error and functions[].error.
 */
_must_check_ struct usp_error *plan_create(struct session *session, const char *file, struct plan **ret);
void plan_destroy(struct plan *plan); /* NULL is fine */

/* The first thing that does not fit, taken out of the plan (the caller owns it), or NULL. */
struct usp_error *plan_take_error(struct plan *plan);

/*
 * Builds the image for `base` with the target's symbols, and checks what depends on it: the registers that
 * callers of the old functions rely on. remote (or NULL: an IFUNC that nobody has resolved yet is refused)
 * runs IFUNC resolvers.
 */
_must_check_ struct usp_error *plan_build_image(struct session *session, struct plan *plan, uint64_t base,
						struct remote *remote, struct payload_image **ret);

/* A free place within reach of the module for size bytes, or an error. */
_must_check_ struct usp_error *plan_find_place(struct session *session, const struct plan *plan,
					       uint64_t size, uint64_t *base);

#endif

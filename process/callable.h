/* SPDX-License-Identifier: MIT */
/*
 * Which thread may run a function for usplice (a hook, the unwinder's registration) while the others run on:
 * one whose whole stack is known and has no frame in the allocator, the unwinder or the dynamic linker, so
 * that it holds none of their locks and the function cannot wait for the very thread it runs on.
 */
#ifndef PROCESS_CALLABLE_H
#define PROCESS_CALLABLE_H

#include "process/session.h"
#include "process/stack/stack.h"

struct callable;

_must_check_ struct usp_error *callable_create(const struct session *session, struct callable **ret);
void callable_destroy(struct callable *callable); /* NULL is fine */

/* For remote_open(): context is the struct callable. */
bool callable_accept(void *context, const struct thread *stopped);

/* The images of the payloads in the registry, for a stack checker; *images is freed by the caller. */
_must_check_ struct usp_error *callable_images(const struct registry *registry, struct stack_image **images,
					       size_t *n);

#endif

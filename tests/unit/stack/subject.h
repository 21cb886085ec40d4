/* SPDX-License-Identifier: MIT */
/* A victim process brought into position and stopped with PTRACE_ATTACH, with what stack_check() wants to
 * know of it. */
#ifndef TESTS_STACK_SUBJECT_H
#define TESTS_STACK_SUBJECT_H

#include "process/stack/stack.h"

struct subject {
	pid_t pid;
	int out;
	struct target *target;
	struct maps maps;
	struct modules *modules;
	struct thread *threads;
	size_t n;
	struct range_set ranges;	 /* work(), without its entry address */
	uint64_t image_base, image_size; /* mode "image" only */
};

/* Fails the test when anything goes wrong. */
void subject_start(struct subject *subject, const char *program, const char *mode, const char *argument);
void subject_end(struct subject *subject);

/* The thread that is in position: the leader, or in the modes "thread-…" the other one. */
const struct thread *subject_thread(const struct subject *subject, bool other);

#endif

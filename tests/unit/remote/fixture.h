/* SPDX-License-Identifier: MIT */
/* A pt_registers victim, the controller run on it, and what must hold of the victim whatever happened to the
 * controller. */
#ifndef TESTS_REMOTE_FIXTURE_H
#define TESTS_REMOTE_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum kind {
	KIND_HOLD,
	KIND_FUTEX,
	KIND_POLL,
	KIND_NANOSLEEP,
	KIND_EPOLL,
	KIND_READ,
	KINDS
};

struct victim {
	pid_t pid;
	int to, from;
	uint64_t called, faults, never, sleeps;
	pid_t tids[KINDS];
	uint64_t errnos[KINDS];
};

extern const char *const kind_names[KINDS];

/* mode: NULL, "spin" or "blocked". prepare: run in the child before exec. */
void victim_start(struct victim *victim, const char *mode, void (*prepare)(void));
void victim_end(struct victim *victim);
/* One line to it, one back. */
void victim_ask(struct victim *victim, const char *command, char *answer, size_t size);
/* Every thread of its comes round again: nobody hangs, nobody noticed anything. */
void victim_comes_round(struct victim *victim);
/* Alive; nobody traced or in a ptrace stop. */
void victim_free_of_tracers(const struct victim *victim);
/* No descriptor of usplice's. */
void victim_no_descriptor(const struct victim *victim);
/* How many mappings show usplice's name. */
int victim_area_mappings(const struct victim *victim);
/* The unused end of its vdso is all zero. */
bool victim_hole_is_zero(const struct victim *victim);

/* Runs a command (NULL-terminated), its standard error into text; its exit status, or 128 + signal. */
int run(const char *const argv[], char *text, size_t size);

/* The controller's arguments for a thread: pid, tid, functions, errno; and up to 4 more. Valid until the next
 * call. */
const char *const *controller(const struct victim *victim, int kind, const char *const extra[]);
/* The same under killat at call n. */
const char *const *killed_controller(const struct victim *victim, int kind, unsigned n, bool at_exit,
				     const char *const extra[]);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Runs the victims of tests/victims/ for the tests of this folder: started, asked one line at a time, watched
 * by their parent, ended. A victim's parent is a process of its own unless own_child is asked for.
 */
#ifndef VICTIM_RUN_H
#define VICTIM_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define VICTIM_RUN_LINE 512

struct victim_run {
	pid_t pid;
	pid_t parent; /* the process in between; 0: the test itself */
	int to, from; /* the victim's stdin and stdout */
	int reports;  /* the parent tells each stop and continuation it hears of here, a byte each */
	char line[VICTIM_RUN_LINE]; /* the last answer */
};

/* Starts name with up to 4 arguments (NULL: none) and waits for "ready". Fails the test if it does not come.
 */
void victim_start(struct victim_run *victim, bool own_child, const char *name, const char *a, const char *b,
		  const char *c);
/* Sends a line and returns the answer. Fails the test if there is none within a long time. */
const char *victim_ask(struct victim_run *victim, const char *line);
long victim_number(struct victim_run *victim, const char *line);
/* Only sends. */
void victim_tell(struct victim_run *victim, const char *line);
/* Waits until the number that the victim gives is more than it was. */
void victim_gets_on(struct victim_run *victim);
/* How many stops and continuations the parent heard of so far. */
int victim_reports(struct victim_run *victim);
/* Kills and waits. Fine after it ended by itself. */
void victim_end(struct victim_run *victim);

/* The state letter of a thread of the victim's. */
char victim_state(const struct victim_run *victim, pid_t tid);
/* Waits until state(tid) is (wanted: true) or is not the letter. */
void victim_await_state(const struct victim_run *victim, pid_t tid, char letter, bool wanted);

uint64_t test_clock_ns(void);
/* CLOCK_MONOTONIC, far away: a time-out is a failure. */
uint64_t test_deadline_ns(void);

#endif

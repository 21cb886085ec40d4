/* SPDX-License-Identifier: MIT */
/* A victim, and the steps of an action on it as a controller would make them. */
#ifndef TESTS_NET_FIXTURE_H
#define TESTS_NET_FIXTURE_H

/* cmocka's needs */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "process/net/net.h"
#include "process/text.h"
#include "victim.h"

struct victim {
	pid_t pid;
	struct shared *shared;
	struct target *target;
	struct remote_area area;
	struct net_area net;
	uint8_t trap; /* of arm() */
};

/* Fails the test with the error's sentence. */
void ok(struct usp_error *error);
/* There must be one, of that code, that mentions text. */
void refused(struct usp_error *error, enum usp_code code, const char *text);

void victim_start(struct victim *victim);
void victim_end(struct victim *victim);
/* Asks, and waits for the answer. */
uint64_t victim_do(struct victim *victim, enum victim_command command, uint64_t a, uint64_t b, uint64_t c,
		   uint64_t d);
/* Asks for what must kill it; the wait status. It is gone then; its memory is freed. */
int victim_dies(struct victim *victim, enum victim_command command, uint64_t a, uint64_t b);
/* Each thread has called all of them twice: a call that had begun before has ended. */
void rounds(struct victim *victim);
/* The threads have called on: all old, or all new. */
void victim_calls_on(struct victim *victim, bool new);

struct remote *borrow(struct victim *victim);
void give_back(struct remote *remote);
struct net_action action_of(struct victim *victim, int signal);

/* The victim's functions as sites, n of them. */
void make_sites(const struct victim *victim, struct net_site *sites, size_t n);
/* Maps and arms; sites may be 0: just a place where nothing traps. */
void arm(struct victim *victim, uint8_t trap, const struct net_site *sites, size_t n);
void disarm(struct victim *victim);
/* Trap bytes up; the way back; the way on. */
void write_text(struct victim *victim, uint64_t address, const void *from, const void *to, size_t n);
void gate_up(struct victim *victim, const struct net_site *sites, size_t n);
void gate_abort(struct victim *victim, const struct net_site *sites, size_t n);
void gate_switch(struct victim *victim, const struct net_site *sites, size_t n);
void commit(struct victim *victim);
/* What stands at all sites: 'o' old, 'n' new, 't' trap and the old tail, 'm' anything else or mixed. */
char text_is(struct victim *victim, const struct net_site *sites, size_t n);
/* The helper, held in a stop until threads_detach(). */
struct threads *spawn_held(struct victim *victim, pid_t *tid);
bool thread_exists(const struct victim *victim, pid_t tid);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Shared by the files of the batch (poke.c, poke_gate.c, poke_stopped.c); for nobody else.
 */
#ifndef CORE_POKE_INTERNAL_H
#define CORE_POKE_INTERNAL_H

#include "core/poke.h"

/* After a write of ours failed: what is there now. Sets site->state; bytes: POKE_LENGTH_MAX. */
enum poke_site_state poke_look_ours(struct poke *poke, struct poke_site *site, uint8_t *bytes);

/* Reads every site before anything is written: 0, -CORE_EBADMSG or the host's error, failed_site set. */
int poke_expect_old(struct poke *poke);

/* One write by itself. */
int poke_write(struct poke *poke, uint64_t address, const uint8_t *expected, const uint8_t *bytes, size_t n);

int poke_sync(struct poke *poke);

/* The first failure counts. */
void poke_failed_at(struct poke *poke, size_t i);

#endif

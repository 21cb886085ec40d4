// SPDX-License-Identifier: MIT
/*
 * Where a trap leads, before the commit and after it: to the target of a jump where a payload is meant,
 * behind the NOPs where instructions are blanked, into the pad where the original function is meant.
 *
 * The old code must be able to go on from its pad up to the commit, the new code from the commit on, whoever
 * is alive by then. From a pad the original function may come back into its site (a loop), and must find it
 * whole: so the commit comes while the original tails still stand, or once they stand again. Where one action
 * would need both, there is no gate for it.
 */
#include <string.h>

#include "process/gate/internal.h"

#define JUMP	    0xe9
#define JUMP_LENGTH 5
#define NOP	    0x90

static const struct record_function *find_function(const struct registry *registry, uint64_t site)
{
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		for (size_t k = 0; registry->records[i] && k < registry->records[i]->n_functions; k++)
			if (registry->records[i]->functions[k].site == site)
				return &registry->records[i]->functions[k];
	return NULL;
}

static bool all_nops(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i] != NOP)
			return false;
	return true;
}

/* 0: there is no such place. */
static uint64_t leads_to(const struct record_function *function, const uint8_t *bytes, bool *original)
{
	int32_t distance;
	size_t n = function->site_length;
	*original = !memcmp(bytes, function->original, n);
	if (*original)
		return function->pad;
	if (all_nops(bytes, n))
		return function->site + n;
	if (bytes[0] != JUMP || n != JUMP_LENGTH)
		return 0;
	memcpy(&distance, bytes + 1, sizeof(distance));
	return function->site + JUMP_LENGTH + (uint64_t)(int64_t)distance;
}

static struct usp_error *make_site(struct gate *gate, const struct poke_site *from, size_t i,
				   bool *needs_early, bool *needs_late, const char **why)
{
	const struct record_function *function = find_function(gate->session->registry, from->address);
	struct net_site *to = &gate->sites[i];
	bool old_original, new_original;
	*why = NULL;
	if (!function || function->site_length != from->length) {
		*why = "a site that no record describes";
		return NULL;
	}
	*to = (struct net_site){.address = from->address, .length = from->length};
	memcpy(to->old_bytes, from->old_bytes, from->length);
	memcpy(to->new_bytes, from->new_bytes, from->length);
	to->old_to = leads_to(function, from->old_bytes, &old_original);
	to->new_to = leads_to(function, from->new_bytes, &new_original);
	gate->entries[i] = function->old_address;
	if (gate->names)
		gate->names[i] = function->name;
	if (!to->old_to || !to->new_to) {
		*why = "a function whose first instructions cannot be run elsewhere";
		return NULL;
	}
	*needs_early |= old_original && function->enterable;
	*needs_late |= new_original && function->enterable;
	/* Who is in a pad is inside the function. */
	if (old_original &&
	    range_set_add(&gate->inside, function->pad, function->pad + function->pad_size) < 0)
		return &usp_error_no_memory;
	return NULL;
}

struct usp_error *gate_make_sites(struct gate *gate, struct action_intent *intent, const char **why)
{
	bool needs_early = false, needs_late = false;
	*why = NULL;
	gate->sites = calloc(intent->n_sites + 1, sizeof(*gate->sites));
	gate->entries = calloc(intent->n_sites + 1, sizeof(*gate->entries));
	if (gate->target->timeline)
		gate->names = calloc(intent->n_sites + 1, sizeof(*gate->names));
	if (!gate->sites || !gate->entries)
		return &usp_error_no_memory;
	gate->n_sites = intent->n_sites;
	for (size_t i = 0; i < intent->n_sites; i++) {
		struct usp_error *error =
			make_site(gate, &intent->sites[i], i, &needs_early, &needs_late, why);
		if (error || *why)
			return error;
	}
	if (needs_early && needs_late)
		*why = "functions that jump back into their first bytes go away and come back in one action";
	intent->commit_late = needs_late;
	return NULL;
}

ssize_t gate_find_site(const struct gate *gate, uint64_t rip)
{
	uint64_t address = rip - gate->adjust;
	size_t low = 0, n = gate->n_sites;
	while (n > 0) {
		size_t half = n / 2;
		if (gate->sites[low + half].address == address)
			return (ssize_t)(low + half);
		if (gate->sites[low + half].address < address) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return -1;
}

/* SPDX-License-Identifier: MIT */
/*
 * What a function may change, or changes for certain, with all that it calls; and whether it returns at all.
 * Addresses are link-time ones (in a buffer: offsets).
 */
#ifndef PROCESS_CLOBBER_FLOW_H
#define PROCESS_CLOBBER_FLOW_H

#include "process/clobber/text.h"

#define ANALYSIS_STEPS_MAX 20000000 /* instructions looked at for one question */

/* Code still to be looked at, each address with a set. */
struct flow_work {
	struct flow_item {
		uint64_t address;
		clobber_set set;
	} * v;
	size_t n, capacity;
};

struct branch {
	uint64_t target, site;
	bool is_short;
};

struct analysis {
	struct text text;
	struct address_map certain; /* function -> what it changes for certain, + 1 bit: bit 15 (no register)
				       is "known" */
	struct address_map returns; /* function -> 1: being looked at or may return, 2: never returns */
	struct address_map summary_index;
	struct branch *branches; /* sites.c's: all of them by target, made when it pays */
	size_t n_branches, branches_capacity, sites_asked;
	struct address_map table_index; /* table.c's: function -> place in tables + 1 */
	struct table_targets {
		uint64_t *v;
		size_t n, capacity;
	} * tables;
	size_t n_tables, tables_capacity;
	struct address_map passed; /* callers.c's: function -> what its callers pass, + bit 15 */
	struct address_map parts;  /* likewise: function without a name -> 1: a function, 2: perhaps a part */
	struct summary *summaries; /* process/clobber/live.c's */
	size_t n_summaries, summaries_capacity;
	uint64_t root, root_size; /* of a buffer: the one function whose extent is known */
	size_t steps;
	bool exhausted; /* too much code: results are of no use */
	bool no_memory; /* likewise */
};

void analysis_deinit(struct analysis *a);
/* false once the analysis cannot go on. Counts a step. */
bool analysis_step(struct analysis *a);

/* The function that covers address; its name lives as long as the module ("" when it has none). */
struct function_extent {
	uint64_t start, end;
	const char *name;
	bool is_local; /* no other module knows it */
};
bool analysis_function(struct analysis *a, uint64_t address, struct function_extent *ret);

bool flow_push(struct analysis *a, struct flow_work *work, uint64_t address, clobber_set set);
void flow_work_deinit(struct flow_work *work);
/*
 * Where the switch at address may go: by the function's jump tables; where none is found, to each of its
 * instructions. false: not even that is known.
 */
bool flow_push_targets(struct analysis *a, struct flow_work *work, uint64_t address, clobber_set set);
/* Pushes each instruction from start to end; a byte that begins none is stepped over. */
bool flow_push_range(struct analysis *a, struct flow_work *work, uint64_t start, uint64_t end,
		     clobber_set set);
/* Whether the indirect jump at insn is a switch's, going nowhere but to places in the same function. */
bool flow_is_table(struct analysis *a, const struct insn *insn);

enum closure_mode {
	CLOSURE_MAY,	 /* errs towards more */
	CLOSURE_CERTAIN, /* errs towards less */
};
clobber_set flow_closure(struct analysis *a, uint64_t entry, uint64_t size, enum closure_mode mode);
/* CLOSURE_CERTAIN, remembered. */
clobber_set flow_certain(struct analysis *a, uint64_t entry);
/* false only if it certainly does not. */
bool flow_may_return(struct analysis *a, uint64_t entry);

#endif

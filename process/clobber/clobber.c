// SPDX-License-Identifier: MIT
#include "process/clobber/clobber.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "process/clobber/callers.h"

static struct usp_error *analysis_verdict(const struct analysis *a)
{
	return a->no_memory ? &usp_error_no_memory : NULL;
}

struct usp_error *clobber_of_function(struct module *module, uint64_t address, uint64_t size,
				      clobber_set *ret)
{
	struct analysis a = {0};
	struct usp_error *error = text_init_module(&a.text, module);
	if (!error) {
		*ret = flow_closure(&a, address, size, CLOSURE_MAY);
		error = analysis_verdict(&a);
	}
	analysis_deinit(&a);
	return error;
}

struct usp_error *clobber_of_code(const uint8_t *text, size_t text_size, size_t entry, size_t size,
				  clobber_set *ret)
{
	if (entry > text_size || size > text_size - entry)
		return usp_errorf(USP_BAD_PAYLOAD,
				  "function at 0x%zx, %zu bytes, lies outside its section of %zu bytes",
				  entry, size, text_size);
	struct analysis a = {.root = entry, .root_size = size};
	text_init_buffer(&a.text, text, text_size);
	*ret = flow_closure(&a, entry, size, CLOSURE_MAY);
	struct usp_error *error = analysis_verdict(&a);
	analysis_deinit(&a);
	return error;
}

/*
 * One round asks: whoever branches into [start, end) finds, on return, `set` changed where it used not to be.
 * Is that felt? First the old function's entry, then those of callers that return with such a register
 * unwritten.
 */
struct question {
	uint64_t start, end; /* end = start + 1: a function's entry */
	clobber_set set;
};

struct check {
	struct analysis a;
	const char *name;
	uint64_t old;
	struct range_set own; /* runtime: the old function's own code */
	const struct range_set *replaced;
	struct question *v;
	size_t n, capacity;
	struct address_map asked; /* start of a question -> what has been asked */
};

static struct usp_error *ask(struct check *c, uint64_t start, uint64_t end, clobber_set set)
{
	uint64_t *asked = address_map_at(&c->asked, start);
	if (!asked)
		return &usp_error_no_memory;
	set &= ~*asked;
	if (!set)
		return NULL;
	*asked |= set;
	if (c->n == c->capacity) {
		size_t capacity = c->capacity ? 2 * c->capacity : 16;
		struct question *v = reallocarray(c->v, capacity, sizeof(*v));
		if (!v)
			return &usp_error_no_memory;
		c->v = v;
		c->capacity = capacity;
	}
	c->v[c->n++] = (struct question){start, end, set};
	return NULL;
}

/*
 * The callers of a function that lets `set` through. For a split-off part (or a function without a name,
 * which may be one) that is whoever jumps into the middle of it, and their callers.
 */
static struct usp_error *ask_callers(struct check *c, const struct function_extent *function, clobber_set set)
{
	return ask(c, function->start, callers_is_part(&c->a, function) ? function->end : function->start + 1,
		   set);
}

static void name_of(const struct function_extent *function, char *buf, size_t size)
{
	if (*function->name)
		snprintf(buf, size, "%s()", function->name);
	else
		snprintf(buf, size, "the function at 0x%" PRIx64, function->start);
}

/* sure: an instruction of the caller's reads it; else it may be handed on, to another function or back. */
static struct usp_error *refuse(struct check *c, const struct function_extent *caller, uint64_t site,
				bool sure, clobber_set felt, const uint64_t at[64])
{
	char who[256], registers[512], use[64] = "returned";
	uint64_t where = at[__builtin_ctzll(felt)];
	name_of(caller, who, sizeof(who));
	clobber_set_format(felt, registers, sizeof(registers));
	if (where)
		snprintf(use, sizeof(use), "used again at 0x%" PRIx64, where);
	return usp_errorf(
		USP_MISMATCH,
		"%s: replacing %s() %s corrupt its caller %s: that %s a value in %s across its call at "
		"0x%" PRIx64 " (%s), which the old code leaves alone (gcc's -fipa-ra) and the new code may "
		"change. Build the payload so that it leaves %s alone, or replace %s too",
		c->a.text.module->name, c->name, sure ? "would" : "could", who,
		sure ? "keeps" : "perhaps keeps", registers, site, use, registers, who);
}

static struct usp_error *refuse_unknown(struct check *c, uint64_t site, clobber_set set)
{
	char registers[512];
	clobber_set_format(set, registers, sizeof(registers));
	return usp_errorf(USP_MISMATCH,
			  "%s: the code at 0x%" PRIx64
			  " branches to %s(), and nothing says what function it belongs to: "
			  "whether it relies on %s cannot be found out. Build the payload so that it leaves "
			  "these alone",
			  c->a.text.module->name, site, c->name, registers);
}

/* Whether a changed register is felt after a call, if the caller's own caller passes it something in
 * `passed`. */
static void look_at_call(struct check *c, const struct insn *insn, const struct function_extent *caller,
			 clobber_set set, clobber_set passed, bool is_part, struct live *live)
{
	struct defined defined;
	defined_init(&c->a, caller, passed, is_part, &defined);
	live_walk(&c->a, insn->address + insn->length, set, &defined, live);
	clobber_set at = defined_at(&defined, insn->address);
	live->perhaps &= at;
	live->returned = live->out & CLOBBER_RETURNS & at;
	defined_deinit(&defined);
}

/*
 * A caller that returns with a changed return register may be returning a value that it put there before the
 * call: its direct callers are asked. If there may be others, they cannot be.
 */
static struct usp_error *judge_call(struct check *c, const struct insn *insn,
				    const struct function_extent *caller, clobber_set set)
{
	struct live live;
	bool is_part = callers_is_part(&c->a, caller);
	look_at_call(c, insn, caller, set, CLOBBER_PARAMETERS, is_part, &live);
	/* Only what would refuse is worth the look at the caller's callers. */
	if (!live.certain && (live.perhaps || live.returned) && !is_part)
		look_at_call(c, insn, caller, set, callers_pass(&c->a, caller), is_part, &live);
	clobber_set felt = live.certain ? live.certain : live.perhaps;
	if (!felt && live.returned & CLOBBER_RETURNED && !is_part && !callers_all_known(&c->a, caller))
		felt = live.returned & CLOBBER_RETURNED;
	if (c->a.exhausted || c->a.no_memory)
		return NULL; /* clobber_check_among() says so */
	if (felt)
		return refuse(c, caller, insn->address, live.certain, felt, live.at);
	return ask_callers(c, caller, (live.out & ~flow_certain(&c->a, caller->start)) | live.returned);
}

static struct usp_error *judge_site(struct check *c, uint64_t site, const struct question *question)
{
	uint64_t runtime = c->a.text.module->bias + site;
	struct function_extent caller;
	const struct insn *insn = text_at(&c->a.text, site);
	if (range_set_find(&c->own, runtime) || (c->replaced && range_set_find(c->replaced, runtime)))
		return NULL;
	if (!analysis_function(&c->a, site, &caller))
		return refuse_unknown(c, site, question->set);
	/* Within a range, what counts is who comes in from outside it, and calls of its entry. */
	bool is_entry = insn && insn->target == question->start;
	if (question->end != question->start + 1 && !is_entry &&
	    (!insn || insn->flow == FLOW_CALL || site - question->start < question->end - question->start))
		return NULL;
	if (!insn)
		return refuse_unknown(c, site, question->set);
	if (insn->flow == FLOW_CALL)
		return judge_call(c, insn, &caller, question->set);
	/* A tail call: whoever called this caller gets the return. */
	return ask_callers(c, &caller, question->set & ~flow_certain(&c->a, caller.start));
}

static struct usp_error *answer(struct check *c, const struct question *question)
{
	struct sites sites = {0};
	struct usp_error *error = sites_find(&c->a, question->start, question->end, &sites);
	for (size_t i = 0; i < sites.n && !error && !c->a.exhausted && !c->a.no_memory; i++)
		error = judge_site(c, sites.v[i], question);
	sites_deinit(&sites);
	return error;
}

struct usp_error *clobber_check_among(struct module *module, uint64_t address, uint64_t size,
				      const char *name, clobber_set fresh, const struct range_set *replaced)
{
	struct check c = {.name = name, .old = address, .replaced = replaced};
	struct usp_error *error = text_init_module(&c.a.text, module);
	if (error)
		return error;
	clobber_set risky = fresh & CLOBBER_REGISTERS & ~flow_certain(&c.a, address);
	if (risky)
		error = function_ranges(module, module->bias + address, size, &c.own);
	range_set_seal(&c.own);
	if (risky && !error)
		error = ask(&c, address, address + 1, risky);
	while (c.n && !error && !c.a.exhausted && !c.a.no_memory) {
		struct question question = c.v[--c.n];
		error = answer(&c, &question);
	}
	if (!error && c.a.no_memory)
		error = &usp_error_no_memory;
	if (!error && c.a.exhausted) {
		char registers[512];
		clobber_set_format(risky, registers, sizeof(registers));
		error = usp_errorf(USP_MISMATCH,
				   "%s: whether a caller of %s() relies on %s cannot be found out: too much "
				   "code to look "
				   "at. Build the payload so that it leaves these alone",
				   module->name, name, registers);
	}
	free(c.v);
	address_map_deinit(&c.asked);
	range_set_deinit(&c.own);
	analysis_deinit(&c.a);
	return error;
}

struct usp_error *clobber_check(struct module *module, uint64_t address, uint64_t size, const char *name,
				clobber_set fresh)
{
	return clobber_check_among(module, address, size, name, fresh, NULL);
}

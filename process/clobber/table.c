// SPDX-License-Identifier: MIT
/*
 * Jump tables. gcc and clang take a table's address with lea (4-byte entries, relative to the table) or name
 * it in the indexed load or jump itself (8-byte entries, absolute). All tables that a function so much as
 * mentions are read, and any of its switches may use any of them: no data flow has to be understood. A table
 * ends at the first entry that does not lead into the function or a part of it.
 */
#include <string.h>

#include "process/clobber/flow.h"

#define ENTRIES_MAX 65536

static bool is_target(struct analysis *a, const struct function_extent *function, uint64_t address)
{
	struct function_extent other;
	size_t n = strlen(function->name);
	if (address - function->start < function->end - function->start)
		return text_at(&a->text, address);
	if (!n || !analysis_function(a, address, &other))
		return false;
	return !strncmp(other.name, function->name, n) && other.name[n] == '.';
}

static bool add_target(struct analysis *a, struct table_targets *targets, uint64_t address)
{
	if (targets->n == targets->capacity) {
		size_t capacity = targets->capacity ? 2 * targets->capacity : 32;
		uint64_t *v = reallocarray(targets->v, capacity, sizeof(*v));
		if (!v) {
			a->no_memory = true;
			return false;
		}
		targets->v = v;
		targets->capacity = capacity;
	}
	targets->v[targets->n++] = address;
	return true;
}

static void read_table(struct analysis *a, const struct function_extent *function, uint64_t table,
		       size_t width, struct table_targets *targets)
{
	for (size_t i = 0; i < ENTRIES_MAX && analysis_step(a); i++) {
		uint64_t target;
		if (width == 4) {
			int32_t relative;
			if (module_read_file(a->text.module, table + 4 * i, &relative, 4) < 0)
				return;
			target = table + (int64_t)relative;
		} else if (module_read_file(a->text.module, table + 8 * i, &target, 8) < 0) {
			return;
		}
		if (!is_target(a, function, target) || !add_target(a, targets, target))
			return;
	}
}

static void read_tables(struct analysis *a, const struct function_extent *function,
			struct table_targets *targets)
{
	for (uint64_t at = function->start; at < function->end && analysis_step(a);) {
		const struct insn *insn = text_at(&a->text, at);
		at += insn ? insn->length : 1;
		if (!insn || !insn->pointer || text_has(&a->text, insn->pointer))
			continue;
		bool is_absolute = insn->flow == FLOW_TABLE || insn->scaled_load;
		read_table(a, function, insn->pointer, is_absolute ? 8 : 4, targets);
	}
}

static const struct table_targets *targets_of(struct analysis *a, const struct function_extent *function)
{
	uint64_t *place = address_map_at(&a->table_index, function->start);
	if (place && *place)
		return &a->tables[*place - 1];
	if (place && a->n_tables == a->tables_capacity) {
		size_t capacity = a->tables_capacity ? 2 * a->tables_capacity : 16;
		struct table_targets *v = reallocarray(a->tables, capacity, sizeof(*v));
		if (v) {
			a->tables = v;
			a->tables_capacity = capacity;
		} else {
			place = NULL;
		}
	}
	if (!place) {
		a->no_memory = true;
		return NULL;
	}
	struct table_targets *targets = &a->tables[a->n_tables++];
	*place = a->n_tables;
	*targets = (struct table_targets){0};
	read_tables(a, function, targets);
	return targets;
}

bool flow_push_targets(struct analysis *a, struct flow_work *work, uint64_t address, clobber_set set)
{
	struct function_extent function;
	if (!analysis_function(a, address, &function))
		return false;
	const struct table_targets *targets = a->text.module ? targets_of(a, &function) : NULL;
	if (!targets || !targets->n) {
		flow_push_range(a, work, function.start, function.end, set);
		return true; /* or the analysis as a whole says that it failed */
	}
	for (size_t i = 0; i < targets->n; i++)
		if (!flow_push(a, work, targets->v[i], set))
			return true;
	return true;
}

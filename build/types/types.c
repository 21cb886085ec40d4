// SPDX-License-Identifier: MIT
#include "build/types/types.h"

#include <stdlib.h>
#include <string.h>

#include "build/object/object.h"
#include "build/types/describe.h"
#include "build/types/use.h"

#define VARIANTS_MAX 64 /* of one name; a program has two or three */

/* Entries of one kind and key. */
struct group {
	const struct types_side *side;
	size_t first, n;
};

/* What a change is about, by its number in the report. */
struct subject {
	struct group groups[2];
};

struct comparison {
	struct types_side sides[2];
	const char *const *functions;
	size_t n_functions;
	const char **names; /* the functions' in the report's keeping */
	struct types_report *report;
	struct subject *subjects;
	size_t capacity, subjects_capacity;
	struct types_text text;
};

static void comparison_deinit(struct comparison *c)
{
	types_side_close(&c->sides[0]);
	types_side_close(&c->sides[1]);
	types_text_deinit(&c->text);
	free(c->names);
	free(c->subjects);
	types_report_destroy(c->report);
}

/* A change; its text is what c->text holds. */
static struct usp_error *add(struct comparison *c, enum types_kind kind, const char *name,
			     enum types_kept kept, const struct subject *subject)
{
	struct types_report *report = c->report;
	if (!object_grow(&report->v, report->n, &c->capacity, sizeof(*report->v)) ||
	    !object_grow(&c->subjects, report->n, &c->subjects_capacity, sizeof(*c->subjects)))
		return &usp_error_no_memory;
	struct types_change *change = &report->v[report->n];
	*change = (struct types_change){.kind = kind,
					.kept = kept,
					.name = types_pool_copy(report->pool, name),
					.text = types_text_take(&c->text, report->pool)};
	change->functions =
		types_pool_take(report->pool, calloc(c->n_functions + 1, sizeof(*change->functions)));
	if (!change->name || !change->text || !change->functions)
		return &usp_error_no_memory;
	c->subjects[report->n++] = *subject;
	return NULL;
}

/* One that says why it cannot be told, and concerns all functions or this one. */
static struct usp_error *add_unknown(struct comparison *c, const char *name, const char *function,
				     const char *text)
{
	types_text_printf(&c->text, "%s", text);
	struct usp_error *error = add(c, TYPES_UNKNOWN, name, TYPES_KEPT_NOT, &(struct subject){0});
	if (error)
		return error;
	struct types_change *change = &c->report->v[c->report->n - 1];
	for (size_t i = 0; i < c->n_functions; i++)
		if (!function || !strcmp(function, c->names[i]))
			change->functions[change->n_functions++] = c->names[i];
	return NULL;
}

static enum types_kind kind_of(const struct types_entry *before, const struct types_layout *now)
{
	if (before->kind == TYPES_ENTRY_FUNCTION)
		return TYPES_SIGNATURE;
	if (before->kind == TYPES_ENTRY_STATIC)
		return TYPES_VARIABLE;
	unsigned tag = before->layout->tag;
	return tag == DW_TAG_enumeration_type && tag == now->tag ? TYPES_ENUM : TYPES_LAYOUT;
}

/* A tag and a typedef of one type are told of once. */
static struct usp_error *compare_pair(struct comparison *c, const struct types_entry *before,
				      const struct types_entry *after, const struct subject *subject)
{
	enum types_kept kept = TYPES_KEPT_NOT;
	if (before->layout->told == after->layout)
		return NULL;
	struct usp_error *error = types_describe(before->layout, after->layout, &c->text, &kept);
	before->layout->told = after->layout;
	if (error || !c->text.n)
		return error;
	return add(c, kind_of(before, after->layout), before->name, kept, subject);
}

/*
 * Different layouts of the group that the other group has not; false: too many. Equal ones are the rule: a
 * header's struct in each unit of a linked object.
 */
static bool variants(const struct group *group, const struct types_entry **v, size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < group->n; i++) {
		const struct types_entry *e = &group->side->entries[group->first + i];
		size_t k = 0;
		while (k < *n && !types_layout_equal(v[k]->layout, e->layout))
			k++;
		if (k < *n)
			continue;
		if (*n == VARIANTS_MAX)
			return false;
		v[(*n)++] = e;
	}
	return true;
}

static void drop_equal(const struct types_entry **v, size_t *n, const struct types_entry *const *other,
		       size_t n_other)
{
	size_t kept = 0;
	for (size_t i = 0; i < *n; i++) {
		size_t k = 0;
		while (k < n_other && !types_layout_equal(v[i]->layout, other[k]->layout))
			k++;
		if (k == n_other)
			v[kept++] = v[i];
	}
	*n = kept;
}

static struct usp_error *compare_groups(struct comparison *c, const struct subject *subject)
{
	const struct types_entry *v[2][VARIANTS_MAX], *all[VARIANTS_MAX];
	size_t n[2], n_all;
	bool few = variants(&subject->groups[0], v[0], &n[0]) && variants(&subject->groups[1], v[1], &n[1]);
	if (few) {
		n_all = n[0];
		memcpy(all, v[0], sizeof(all));
		drop_equal(v[0], &n[0], v[1], n[1]);
		drop_equal(v[1], &n[1], all, n_all);
		if (!n[0] || !n[1])
			return NULL; /* one more or one less of this name: what exists is not another one now */
		if (n[0] == 1 && n[1] == 1)
			return compare_pair(c, v[0][0], v[1][0], subject);
	}
	types_text_printf(&c->text,
			  "several of this name differ between the builds; which was which is not known");
	const struct types_entry *e = &subject->groups[0].side->entries[subject->groups[0].first];
	return add(c, TYPES_UNKNOWN, e->name, TYPES_KEPT_NOT, subject);
}

struct constant {
	const char *name;
	size_t entry;
};

static int by_name(const void *a, const void *b)
{
	const struct constant *x = a, *y = b;
	int order = strcmp(x->name, y->name);
	return order ? order : x->entry < y->entry ? -1 : x->entry > y->entry;
}

static size_t find_constant(const struct constant *v, size_t n, const char *name)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (strcmp(v[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && !strcmp(v[low].name, name) ? low : n;
}

static struct usp_error *constants_of(const struct group *group, struct constant **ret, size_t *n)
{
	size_t total = 0;
	for (size_t i = 0; i < group->n; i++)
		total += group->side->entries[group->first + i].layout->n_members;
	struct constant *v = calloc(total + 1, sizeof(*v));
	if (!v)
		return &usp_error_no_memory;
	*n = 0;
	for (size_t i = 0; i < group->n; i++) {
		const struct types_layout *layout = group->side->entries[group->first + i].layout;
		for (size_t k = 0; k < layout->n_members; k++)
			v[(*n)++] = (struct constant){layout->members[k].path, group->first + i};
	}
	qsort(v, *n, sizeof(*v), by_name);
	*ret = v;
	return NULL;
}

/* Unnamed enumerations are known by their constants: any that is in both. */
static struct usp_error *compare_enums(struct comparison *c, const struct subject *subject)
{
	const struct group *before = &subject->groups[0], *after = &subject->groups[1];
	_cleanup_free_ struct constant *v = NULL;
	size_t n;
	struct usp_error *error = constants_of(after, &v, &n);
	for (size_t i = 0; i < before->n && !error; i++) {
		const struct types_entry *e = &before->side->entries[before->first + i], *twin = NULL;
		for (size_t k = 0; k < e->layout->n_members && !twin; k++) {
			const char *name = e->layout->members[k].path;
			size_t at = find_constant(v, n, name);
			for (size_t tries = 0; at < n && tries < VARIANTS_MAX && !strcmp(v[at].name, name);
			     at++, tries++) {
				const struct types_entry *other = &after->side->entries[v[at].entry];
				bool equal = types_layout_equal(e->layout, other->layout);
				if (!twin || equal)
					twin = other;
				if (equal)
					break;
			}
		}
		/* Only this one and its twin, not all that have no name. */
		struct subject pair = *subject;
		pair.groups[0] = (struct group){before->side, before->first + i, 1};
		if (twin)
			pair.groups[1] =
				(struct group){after->side, (size_t)(twin - after->side->entries), 1};
		if (twin && !types_layout_equal(e->layout, twin->layout))
			error = compare_pair(c, e, twin, &pair);
	}
	return error;
}

static struct group group_at(const struct types_side *side, size_t first)
{
	const struct types_entry *v = side->entries;
	size_t end = first;
	while (end < side->n_entries && v[end].kind == v[first].kind && !strcmp(v[end].key, v[first].key))
		end++;
	return (struct group){.side = side, .first = first, .n = end - first};
}

static struct usp_error *compare_all(struct comparison *c)
{
	const struct types_side *a = &c->sides[0], *b = &c->sides[1];
	struct usp_error *error = NULL;
	for (size_t i = 0, k = 0; i < a->n_entries && k < b->n_entries && !error;) {
		const struct types_entry *x = &a->entries[i], *y = &b->entries[k];
		struct subject subject = {{group_at(a, i), group_at(b, k)}};
		int order = x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : strcmp(x->key, y->key);
		if (!order)
			error = x->kind == TYPES_ENTRY_ENUM ? compare_enums(c, &subject)
							    : compare_groups(c, &subject);
		i += order <= 0 ? subject.groups[0].n : 0;
		k += order >= 0 ? subject.groups[1].n : 0;
	}
	return error;
}

static bool uses(const struct subject *subject, bool *const used[2])
{
	for (int side = 0; side < 2; side++)
		for (size_t i = 0; i < subject->groups[side].n; i++)
			if (used[side][subject->groups[side].first + i])
				return true;
	return false;
}

static struct usp_error *find_users(struct comparison *c, size_t n_changes, const char *function)
{
	_cleanup_free_ bool *before = calloc(c->sides[0].n_entries + 1, sizeof(bool));
	_cleanup_free_ bool *after = calloc(c->sides[1].n_entries + 1, sizeof(bool));
	bool *const used[2] = {before, after};
	bool found;
	if (!before || !after)
		return &usp_error_no_memory;
	struct usp_error *error = types_use(&c->sides[0], function, before, &found);
	if (!error)
		error = types_use(&c->sides[1], function, after, &found);
	if (error)
		return error;
	for (size_t i = 0; i < n_changes; i++) {
		struct types_change *change = &c->report->v[i];
		if (uses(&c->subjects[i], used))
			change->functions[change->n_functions++] = function;
	}
	return found ? NULL : add_unknown(c, function, function, "no debug information for this function");
}

/* "It cannot be told" is a result; what went wrong here is an error. */
static struct usp_error *settle(struct comparison *c, const struct types_side *side, struct usp_error *error)
{
	if (!error || (error->code != USP_BAD_PAYLOAD && error->code != USP_NOT_FOUND &&
		       error->code != USP_UNSUPPORTED))
		return error;
	c->report->n = 0;
	struct usp_error *result = add_unknown(c, side->path, NULL, error->message);
	usp_error_destroy(error);
	return result;
}

static struct usp_error *compare(struct comparison *c)
{
	for (int i = 0; i < 2; i++) {
		struct usp_error *error = types_side_read(&c->sides[i]);
		if (error)
			return settle(c, &c->sides[i], error);
	}
	struct usp_error *error = compare_all(c);
	size_t n = c->report->n;
	for (size_t i = 0; i < c->n_functions && !error; i++)
		error = find_users(c, n, c->names[i]);
	return settle(c, &c->sides[1], error);
}

static int by_kind_and_name(const void *a, const void *b)
{
	const struct types_change *x = a, *y = b;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	int order = strcmp(x->name, y->name);
	return order ? order : strcmp(x->text, y->text);
}

static struct usp_error *begin(struct comparison *c)
{
	c->report = calloc(1, sizeof(*c->report));
	c->names = calloc(c->n_functions + 1, sizeof(*c->names));
	if (!c->report || !c->names)
		return &usp_error_no_memory;
	c->report->pool = calloc(1, sizeof(*c->report->pool));
	if (!c->report->pool)
		return &usp_error_no_memory;
	for (size_t i = 0; i < c->n_functions; i++) {
		c->names[i] = types_pool_copy(c->report->pool, c->functions[i]);
		if (!c->names[i])
			return &usp_error_no_memory;
	}
	return NULL;
}

struct usp_error *types_compare(const char *before, const char *after, const char *const *functions,
				size_t n_functions, struct types_report **ret)
{
	_cleanup_(comparison_deinit) struct comparison c = {.functions = functions,
							    .n_functions = n_functions};
	struct usp_error *error = begin(&c);
	if (!error)
		error = types_side_open(before, &c.sides[0]);
	if (!error)
		error = types_side_open(after, &c.sides[1]);
	if (!error)
		error = compare(&c);
	if (error)
		return error;
	if (c.report->n)
		qsort(c.report->v, c.report->n, sizeof(*c.report->v), by_kind_and_name);
	*ret = c.report;
	c.report = NULL;
	return NULL;
}

void types_report_destroy(struct types_report *report)
{
	if (!report)
		return;
	if (report->pool)
		types_pool_deinit(report->pool);
	free(report->pool);
	free(report->v);
	free(report);
}

const char *types_kind_word(enum types_kind kind)
{
	static const char *const words[] = {"layout", "enum", "signature", "variable", "types"};
	return words[kind];
}

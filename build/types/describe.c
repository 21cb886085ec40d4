// SPDX-License-Identifier: MIT
#include "build/types/describe.h"

#include <stdlib.h>
#include <string.h>

#define LISTED_MAX 6 /* of each sort */

struct description {
	struct types_text *text;
	const struct types_layout *before, *after;
	const struct types_member **twins[2]; /* of each member, NULL: none */
	size_t listed, more;
	bool old_changed, reread;
};

static void begin(struct description *d)
{
	if (d->text->n)
		types_text_printf(d->text, "; ");
}

static const char *noun(const struct types_member *m)
{
	static const char *const nouns[] = {"member", "base class", "virtual function", "enumerator"};
	return nouns[m->kind];
}

static void print_place(struct types_text *text, const struct types_member *m)
{
	if (m->kind == TYPES_MEMBER || m->kind == TYPES_BASE) {
		types_text_printf(text, "%ld", m->at / 8);
		if (m->bits || m->at % 8)
			types_text_printf(text, " bit %ld", m->at % 8);
	} else {
		types_text_printf(text, "%ld", m->at);
	}
}

static const char *place_word(const struct types_member *m)
{
	return m->kind == TYPES_VIRTUAL	     ? "in slot"
	       : m->kind == TYPES_ENUMERATOR ? "with value"
					     : "at offset";
}

/* Whether there is room for one more of this sort. */
static bool list(struct description *d)
{
	if (d->listed == LISTED_MAX) {
		d->more++;
		return false;
	}
	d->listed++;
	begin(d);
	return true;
}

static void end_list(struct description *d, const char *word)
{
	if (d->more)
		types_text_printf(d->text, " and %zu more %s", d->more, word);
	d->listed = d->more = 0;
}

/* Bytes of an integer type (words.c), or 0. */
static unsigned integer_size(const char *type)
{
	static const struct {
		const char *name;
		unsigned size;
	} known[] = {{"bool", 1},  {"char", 1},		  {"int8_t", 1}, {"unsigned char", 1},
		     {"short", 2}, {"unsigned short", 2}, {"int", 4},	 {"unsigned int", 4},
		     {"long", 8},  {"unsigned long", 8}};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(type, known[i].name))
			return known[i].size;
	return 0;
}

/* Whether whatever is stored as the one has a value as the other: a bool has two only. */
static bool is_read_as(const char *before, const char *now)
{
	return integer_size(before) && integer_size(before) == integer_size(now) && strcmp(now, "bool") != 0;
}

static void removed(struct description *d)
{
	for (size_t i = 0; i < d->before->n_members; i++) {
		const struct types_member *m = &d->before->members[i];
		if (d->twins[0][i])
			continue;
		d->old_changed = true;
		if (!list(d))
			continue;
		types_text_printf(d->text, "%s %s removed, was %s ", noun(m), m->path, place_word(m));
		print_place(d->text, m);
	}
	end_list(d, "removed");
}

static void added(struct description *d)
{
	for (size_t i = 0; i < d->after->n_members; i++) {
		const struct types_member *m = &d->after->members[i];
		if (d->twins[1][i] || m->kind == TYPES_ENUMERATOR)
			continue;
		d->old_changed |= m->kind != TYPES_MEMBER;
		if (!list(d))
			continue;
		types_text_printf(d->text, "%s %s added %s ", noun(m), m->path, place_word(m));
		print_place(d->text, m);
	}
	end_list(d, "added");
}

static void retyped(struct description *d)
{
	for (size_t i = 0; i < d->before->n_members; i++) {
		const struct types_member *m = &d->before->members[i], *now = d->twins[0][i];
		if (!now || (!strcmp(m->type, now->type) && m->bits == now->bits))
			continue;
		if (m->at == now->at && m->bits == now->bits && is_read_as(m->type, now->type))
			d->reread = true;
		else
			d->old_changed = true;
		if (!list(d))
			continue;
		types_text_printf(d->text, "%s %s is %s", noun(m), m->path, now->type);
		if (now->bits)
			types_text_printf(d->text, " : %lu", now->bits);
		types_text_printf(d->text, ", was %s", m->type);
		if (m->bits)
			types_text_printf(d->text, " : %lu", m->bits);
	}
	end_list(d, "changed");
}

static void moved(struct description *d)
{
	size_t n = 0;
	const struct types_member *first = NULL, *first_now = NULL;
	for (size_t i = 0; i < d->before->n_members; i++) {
		const struct types_member *m = &d->before->members[i], *now = d->twins[0][i];
		if (!now || m->at == now->at || m->kind == TYPES_ENUMERATOR)
			continue;
		if (!n++) {
			first = m;
			first_now = now;
		}
	}
	if (!first)
		return;
	d->old_changed = true;
	begin(d);
	types_text_printf(d->text, "%s %s %s ", noun(first), first->path, place_word(first));
	print_place(d->text, first_now);
	types_text_printf(d->text, ", was ");
	print_place(d->text, first);
	if (n > 1)
		types_text_printf(d->text, " and %zu more moved", n - 1);
}

static void renumbered(struct description *d)
{
	for (size_t i = 0; i < d->before->n_members; i++) {
		const struct types_member *m = &d->before->members[i], *now = d->twins[0][i];
		if (!now || m->kind != TYPES_ENUMERATOR || m->at == now->at)
			continue;
		d->old_changed = true;
		if (list(d))
			types_text_printf(d->text, "enumerator %s = %ld, was %ld", m->path, now->at, m->at);
	}
	end_list(d, "changed");
}

static void number(struct description *d, const char *word, uint64_t now, uint64_t was)
{
	if (now == was)
		return;
	d->old_changed = true;
	begin(d);
	types_text_printf(d->text, "%s %lu, was %lu", word, now, was);
}

/* Without the array's own dimensions: how many there are is seen where data is compared. */
static size_t element_length(const char *type)
{
	size_t n = strlen(type);
	while (n && type[n - 1] == ']') {
		while (n && type[n - 1] != '[')
			n--;
		n -= n > 0;
	}
	return n;
}

/* Whether a variable of the one type may be read as one of the other, as far as that is not seen in its size and content. */
static bool is_variable_read_as(const char *before, const char *now)
{
	size_t n = element_length(before), m = element_length(now);
	bool pointer = memchr(before, '*', n) && before[n - 1] == '*',
	     pointer_now = memchr(now, '*', m) && now[m - 1] == '*';
	if (n == m && !memcmp(before, now, n))
		return true;
	if (!memchr(before, '*', n) && !memchr(now, '*', m))
		return true;
	if (pointer && pointer_now && (!strncmp(before, "void *", n) || !strncmp(now, "void *", m)))
		return true;
	_cleanup_free_ char *to = pointer && n > 2 ? strndup(before, n - 2) : NULL,
			    *to_now = pointer_now && m > 2 ? strndup(now, m - 2) : NULL;
	return to && to_now && is_read_as(to, to_now);
}

static void whole(struct description *d)
{
	const struct types_layout *a = d->before, *b = d->after;
	if (a->tag != b->tag) {
		d->old_changed = true;
		begin(d);
		types_text_printf(d->text, "is %s %s now, was %s %s",
				  b->tag == DW_TAG_enumeration_type ? "an" : "a", types_keyword(b->tag),
				  a->tag == DW_TAG_enumeration_type ? "an" : "a", types_keyword(a->tag));
	}
	if (a->type && b->type && strcmp(a->type, b->type)) {
		d->old_changed |= !is_variable_read_as(a->type, b->type);
		begin(d);
		types_text_printf(d->text, "%s, was %s", b->type, a->type);
	}
}

static int by_path(const void *a, const void *b)
{
	const struct types_member *x = *(const struct types_member *const *)a,
				  *y = *(const struct types_member *const *)b;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	int order = strcmp(x->path, y->path);
	if (order || x->at == y->at)
		return order ? order : x < y ? -1 : x > y;
	return x->at < y->at ? -1 : 1;
}

static const struct types_member **sorted(const struct types_layout *layout)
{
	const struct types_member **v = calloc(layout->n_members + 1, sizeof(const struct types_member *));
	if (!v)
		return NULL;
	for (size_t i = 0; i < layout->n_members; i++)
		v[i] = &layout->members[i];
	qsort(v, layout->n_members, sizeof(const struct types_member *), by_path);
	return v;
}

static int by_name(const struct types_member *a, const struct types_member *b)
{
	return a->kind != b->kind ? (a->kind < b->kind ? -1 : 1) : strcmp(a->path, b->path);
}

static bool pair(struct description *d)
{
	size_t n = d->before->n_members, m = d->after->n_members;
	_cleanup_free_ const struct types_member **a = sorted(d->before), **b = sorted(d->after);
	d->twins[0] = calloc(n + 1, sizeof(const struct types_member *));
	d->twins[1] = calloc(m + 1, sizeof(const struct types_member *));
	if (!a || !b || !d->twins[0] || !d->twins[1])
		return false;
	for (size_t i = 0, k = 0; i < n && k < m;) {
		int order = by_name(a[i], b[k]);
		if (!order) {
			d->twins[0][a[i] - d->before->members] = b[k];
			d->twins[1][b[k] - d->after->members] = a[i];
		}
		i += order <= 0;
		k += order >= 0;
	}
	return true;
}

struct usp_error *types_describe(const struct types_layout *before, const struct types_layout *after,
				 struct types_text *text, enum types_kept *kept)
{
	struct description d = {.text = text, .before = before, .after = after};
	bool enumeration = before->tag == DW_TAG_enumeration_type && after->tag == before->tag;
	bool good = pair(&d);
	if (good) {
		whole(&d);
		if (before->tag == after->tag) {
			removed(&d);
			added(&d);
			retyped(&d);
			renumbered(&d);
			moved(&d);
		}
		number(&d, "size", after->size, before->size);
		number(&d, "required alignment", after->alignment, before->alignment);
		if (before->constant && after->constant)
			d.old_changed = false;
		*kept = d.old_changed || enumeration || !text->n ? TYPES_KEPT_NOT
			: d.reread				 ? TYPES_KEPT_REREAD
								 : TYPES_KEPT;
		if (*kept != TYPES_KEPT_NOT && before->has_size)
			types_text_printf(text, "; size %lu as before", before->size);
	}
	free(d.twins[0]);
	free(d.twins[1]);
	return good && !text->failed ? NULL : &usp_error_no_memory;
}

// SPDX-License-Identifier: MIT
/* Types in words. Base types go by encoding and size: "long long" is "long" where both have 8 bytes. */
#include <string.h>

#include "build/types/layout.h"

struct words {
	struct types_reader *reader;
	unsigned depth;
	bool pointed; /* at: the size does not matter here */
};

static struct usp_error *any(struct words w, const struct types_die *holder);

const char *types_keyword(unsigned tag)
{
	return tag == DW_TAG_enumeration_type ? "enum" : tag == DW_TAG_union_type ? "union" : "struct";
}

static const char *base_name(uint64_t encoding, uint64_t size)
{
	static const struct {
		unsigned encoding, size;
		const char *name;
	} known[] = {
		{DW_ATE_signed, 1, "int8_t"},
		{DW_ATE_signed, 2, "short"},
		{DW_ATE_signed, 4, "int"},
		{DW_ATE_signed, 8, "long"},
		{DW_ATE_signed, 16, "__int128"},
		{DW_ATE_unsigned, 2, "unsigned short"},
		{DW_ATE_unsigned, 4, "unsigned int"},
		{DW_ATE_unsigned, 8, "unsigned long"},
		{DW_ATE_unsigned, 16, "unsigned __int128"},
		{DW_ATE_signed_char, 1, "char"},
		{DW_ATE_unsigned_char, 1, "unsigned char"},
		{DW_ATE_boolean, 1, "bool"},
		{DW_ATE_float, 4, "float"},
		{DW_ATE_float, 8, "double"},
		{DW_ATE_float, 16, "long double"},
		{DW_ATE_UTF, 1, "char8_t"},
		{DW_ATE_UTF, 2, "char16_t"},
		{DW_ATE_UTF, 4, "char32_t"},
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].encoding == encoding && known[i].size == size)
			return known[i].name;
	return NULL;
}

static struct usp_error *name_of(const struct types_die *d, const char **ret)
{
	struct usp_error *error = types_die_string(d, TYPES_AT_NAME, ret);
	if (!error && *ret && strlen(*ret) > TYPES_NAME_MAX)
		return types_broken("a name of more than %zu bytes", TYPES_NAME_MAX);
	return error;
}

static struct usp_error *base(struct words w, const struct types_die *t)
{
	uint64_t encoding = 0, size = 0;
	types_die_number(t, TYPES_AT_ENCODING, &encoding);
	types_die_number(t, TYPES_AT_BYTE_SIZE, &size);
	const char *known = base_name(encoding, size), *name;
	struct usp_error *error = name_of(t, &name);
	if (error)
		return error;
	if (known && t->tag == DW_TAG_base_type)
		types_text_printf(&w.reader->text, "%s", known);
	else
		types_text_printf(&w.reader->text, "%s (type %#x, encoding %lu, %lu bytes)",
				  name ? name : "?", t->tag, encoding, size);
	return NULL;
}

static struct usp_error *tagged(struct words w, const struct types_die *t, const char *typedef_name)
{
	const char *name;
	struct usp_error *error = name_of(t, &name);
	uint64_t size;
	if (error)
		return error;
	if (name || !typedef_name)
		types_text_printf(&w.reader->text, "%s %s", types_keyword(t->tag), name ? name : "{...}");
	else
		types_text_printf(&w.reader->text, "%s", typedef_name);
	bool whole = !w.pointed || (!name && !typedef_name);
	if (whole && types_die_number(t, TYPES_AT_BYTE_SIZE, &size))
		types_text_printf(&w.reader->text, " (%lu bytes)", size);
	return NULL;
}

static struct usp_error *through_typedef(struct words w, const struct types_die *t)
{
	const char *name;
	struct types_die to;
	bool found;
	struct usp_error *error = name_of(t, &name);
	if (!error)
		error = types_die_type(t, &to, &found);
	if (!error && found && (types_die_is_composite(&to) || to.tag == DW_TAG_enumeration_type))
		return tagged(w, &to, name);
	return error ? error : any(w, t);
}

static struct usp_error *parameters(struct words w, const struct types_die *t)
{
	struct types_die child;
	bool found, first = true;
	w.pointed = false;
	struct usp_error *error = types_die_child(t, NULL, &child, &found);
	for (; !error && found; error = types_die_child(t, &child, &child, &found)) {
		bool open = child.tag == DW_TAG_unspecified_parameters;
		if (!open && child.tag != DW_TAG_formal_parameter)
			continue;
		types_text_printf(&w.reader->text, first ? "" : ", ");
		first = false;
		if (open)
			types_text_printf(&w.reader->text, "...");
		else
			error = any(w, &child);
		if (error)
			return error;
	}
	if (first && types_die_flag(t, TYPES_AT_PROTOTYPED))
		types_text_printf(&w.reader->text, "void");
	return error;
}

/* middle: "(*)" of a pointer to it. */
static struct usp_error *function(struct words w, const struct types_die *t, const char *middle)
{
	w.pointed = false;
	struct usp_error *error = any(w, t);
	if (error)
		return error;
	types_text_printf(&w.reader->text, " %s(", middle);
	error = parameters(w, t);
	types_text_printf(&w.reader->text, ")");
	return error;
}

static struct usp_error *pointer(struct words w, const struct types_die *t)
{
	struct types_text *text = &w.reader->text;
	struct types_die to;
	bool found;
	const char *mark = t->tag == DW_TAG_pointer_type	    ? "*"
			   : t->tag == DW_TAG_reference_type	    ? "&"
			   : t->tag == DW_TAG_rvalue_reference_type ? "&&"
								    : "::*";
	struct usp_error *error = types_die_type(t, &to, &found);
	if (error)
		return error;
	w.pointed = true;
	if (found && to.tag == DW_TAG_subroutine_type) {
		error = types_reader_step(w.reader, ++w.depth);
		return error ? error : function(w, &to, *mark == '*' ? "(*)" : "(&)");
	}
	error = any(w, t);
	if (error)
		return error;
	types_text_printf(text, text->n && text->p[text->n - 1] == '*' ? "%s" : " %s", mark);
	return NULL;
}

static struct usp_error *array(struct words w, const struct types_die *t)
{
	struct types_die child;
	bool found;
	uint64_t n;
	struct usp_error *error = any(w, t);
	if (!error)
		error = types_die_child(t, NULL, &child, &found);
	for (; !error && found; error = types_die_child(t, &child, &child, &found)) {
		if (child.tag != DW_TAG_subrange_type)
			continue;
		error = types_reader_step(w.reader, w.depth);
		if (error)
			return error;
		if (types_die_number(&child, TYPES_AT_COUNT, &n))
			types_text_printf(&w.reader->text, "[%lu]", n);
		else if (types_die_number(&child, TYPES_AT_UPPER_BOUND, &n))
			types_text_printf(&w.reader->text, "[%lu]", n + 1);
		else
			types_text_printf(&w.reader->text, "[]");
	}
	return error;
}

static struct usp_error *any(struct words w, const struct types_die *holder)
{
	struct types_die t;
	bool found;
	struct usp_error *error = types_reader_step(w.reader, ++w.depth);
	if (!error)
		error = types_die_type(holder, &t, &found);
	if (error)
		return error;
	if (!found) {
		types_text_printf(&w.reader->text, "void");
		return NULL;
	}
	switch (t.tag) {
	case DW_TAG_typedef:
		return through_typedef(w, &t);
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
		return tagged(w, &t, NULL);
	case DW_TAG_pointer_type:
	case DW_TAG_reference_type:
	case DW_TAG_rvalue_reference_type:
	case DW_TAG_ptr_to_member_type:
		return pointer(w, &t);
	case DW_TAG_array_type:
		return array(w, &t);
	case DW_TAG_subroutine_type:
		return function(w, &t, "");
	default:
		return base(w, &t);
	}
}

struct usp_error *types_words(struct types_reader *reader, const struct types_die *d)
{
	return any((struct words){.reader = reader}, d);
}

struct usp_error *types_words_function(struct types_reader *reader, const struct types_die *d)
{
	return function((struct words){.reader = reader}, d, "");
}

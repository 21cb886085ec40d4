// SPDX-License-Identifier: MIT
#include "build/types/layout.h"

#include <stdlib.h>
#include <string.h>

#include "build/object/object.h"

struct place {
	const char *prefix;
	int64_t base; /* bits */
	unsigned depth;
};

static struct usp_error *add_members(struct types_reader *reader, struct types_layout *layout,
				     const struct types_die *of, struct place place);

struct usp_error *types_reader_step(struct types_reader *reader, unsigned depth)
{
	if (++reader->steps > TYPES_STEPS_MAX || reader->text.n > TYPES_NAME_MAX * 16)
		return types_broken("more than can be read");
	return depth > TYPES_DEPTH_MAX ? types_broken("types in types without an end") : NULL;
}

struct usp_error *types_reader_take(struct types_reader *reader, const char **ret)
{
	reader->bytes += reader->text.n + 1;
	if (reader->bytes > TYPES_TEXT_MAX)
		return types_broken("names of more than %zu bytes", TYPES_TEXT_MAX);
	*ret = types_text_take(&reader->text, reader->pool);
	return *ret ? NULL : &usp_error_no_memory;
}

static struct usp_error *add(struct types_reader *reader, struct types_layout *layout,
			     const struct types_member *member)
{
	struct usp_error *error = types_reader_step(reader, 0);
	if (error)
		return error;
	if (!object_grow(&layout->members, layout->n_members, &layout->capacity, sizeof(*layout->members)))
		return &usp_error_no_memory;
	layout->members[layout->n_members++] = *member;
	return NULL;
}

/* prefix and name as one; the name alone needs no copy. */
static struct usp_error *path_of(struct types_reader *reader, const char *prefix, const char *name,
				 const char **ret)
{
	if (strlen(prefix) + strlen(name) > TYPES_NAME_MAX)
		return types_broken("a name of more than %zu bytes", TYPES_NAME_MAX);
	*ret = name;
	if (!*prefix)
		return NULL;
	types_text_printf(&reader->text, "%s%s", prefix, name);
	return types_reader_take(reader, ret);
}

static int64_t times8(uint64_t bytes)
{
	return (int64_t)(bytes * 8);
}

/* Where a member begins, in bits. Bit-fields in the two ways of DWARF 4 (from the end of a unit) and 5. */
static struct usp_error *position(const struct types_die *member, struct types_member *ret)
{
	uint64_t at = 0, bit, storage = 0;
	if (types_die_has(member, TYPES_AT_MEMBER_LOCATION) &&
	    !types_die_number(member, TYPES_AT_MEMBER_LOCATION, &at)) {
		/* Computed at run time (a virtual base class): the same if the expression is. */
		ret->at = (int64_t)types_die_expression_hash(member, TYPES_AT_MEMBER_LOCATION);
		return NULL;
	}
	ret->at = times8(at);
	types_die_number(member, TYPES_AT_BIT_SIZE, &ret->bits);
	if (types_die_number(member, TYPES_AT_DATA_BIT_OFFSET, &bit)) {
		ret->at = (int64_t)((uint64_t)ret->at + bit);
	} else if (types_die_number(member, TYPES_AT_BIT_OFFSET, &bit)) {
		struct types_die type;
		bool found = true;
		struct usp_error *error = NULL;
		if (!types_die_number(member, TYPES_AT_BYTE_SIZE, &storage)) {
			error = types_die_type(member, &type, &found);
			if (!error && found)
				types_die_number(&type, TYPES_AT_BYTE_SIZE, &storage);
		}
		ret->at = (int64_t)((uint64_t)ret->at + storage * 8 - bit - ret->bits);
		return error;
	}
	return NULL;
}

/* What the holder (a member, a variable) leads to has no name of its own: its members are the holder's. */
static struct usp_error *expand(struct types_reader *reader, struct types_layout *layout,
				const struct types_die *holder, const char *path, struct place place)
{
	struct types_die t;
	bool found, pointer = false, array = false;
	const char *name;
	struct usp_error *error = types_die_type(holder, &t, &found);
	while (!error && found && (t.tag == DW_TAG_pointer_type || t.tag == DW_TAG_array_type)) {
		error = types_reader_step(reader, ++place.depth);
		pointer |= t.tag == DW_TAG_pointer_type;
		array |= t.tag == DW_TAG_array_type;
		if (!error)
			error = types_die_type(&t, &t, &found);
	}
	if (error || !found || !types_die_is_composite(&t) || !types_die_is_definition(&t))
		return error;
	error = types_die_string(&t, TYPES_AT_NAME, &name);
	if (error || name)
		return error;
	error = path_of(reader, path, pointer ? "->" : array ? "[]." : ".", &place.prefix);
	if (pointer)
		place.base = 0;
	place.depth++;
	return error ? error : add_members(reader, layout, &t, place);
}

static struct usp_error *add_member(struct types_reader *reader, struct types_layout *layout,
				    const struct types_die *child, struct place place)
{
	struct types_member member = {.kind = TYPES_MEMBER};
	struct types_die type;
	const char *name;
	bool found;
	if (types_die_flag(child, TYPES_AT_EXTERNAL) || types_die_flag(child, TYPES_AT_DECLARATION))
		return NULL; /* static, C++ */
	struct usp_error *error = position(child, &member);
	if (!error)
		error = types_die_string(child, TYPES_AT_NAME, &name);
	if (error)
		return error;
	member.at = (int64_t)((uint64_t)member.at + (uint64_t)place.base);
	if (!name) {
		error = types_die_type(child, &type, &found);
		if (error || !found || !types_die_is_composite(&type))
			return error;
		place.base = member.at;
		place.depth++;
		return add_members(reader, layout, &type, place);
	}
	error = path_of(reader, place.prefix, name, &member.path);
	if (!error)
		error = types_words(reader, child);
	if (!error)
		error = types_reader_take(reader, &member.type);
	if (!error)
		error = add(reader, layout, &member);
	place.base = member.at;
	return error ? error : expand(reader, layout, child, member.path, place);
}

static struct usp_error *add_base(struct types_reader *reader, struct types_layout *layout,
				  const struct types_die *child, struct place place)
{
	struct types_member member = {.kind = TYPES_BASE};
	struct types_die type;
	bool found;
	struct usp_error *error = position(child, &member);
	member.at = (int64_t)((uint64_t)member.at + (uint64_t)place.base);
	if (!error)
		error = types_words(reader, child);
	if (!error)
		error = types_reader_take(reader, &member.type);
	if (!error)
		error = types_die_type(child, &type, &found);
	if (!error && found)
		error = types_die_string(&type, TYPES_AT_NAME, &member.path);
	if (!member.path)
		member.path = "?";
	return error ? error : add(reader, layout, &member);
}

static struct usp_error *add_virtual(struct types_reader *reader, struct types_layout *layout,
				     const struct types_die *child)
{
	struct types_member member = {.kind = TYPES_VIRTUAL, .type = ""};
	uint64_t slot;
	struct usp_error *error = types_die_symbol(child, &member.path);
	if (error || !member.path)
		return error;
	if (!types_die_number(child, TYPES_AT_VTABLE_SLOT, &slot))
		slot = types_die_expression_hash(child, TYPES_AT_VTABLE_SLOT);
	member.at = (int64_t)slot;
	return add(reader, layout, &member);
}

static struct usp_error *add_enumerator(struct types_reader *reader, struct types_layout *layout,
					const struct types_die *child)
{
	struct types_member member = {.kind = TYPES_ENUMERATOR, .type = ""};
	uint64_t value;
	struct usp_error *error = types_die_string(child, TYPES_AT_NAME, &member.path);
	if (error || !member.path)
		return error;
	if (!types_die_number(child, TYPES_AT_CONST_VALUE, &value))
		return types_broken("an enumerator without a value");
	member.at = (int64_t)value;
	return add(reader, layout, &member);
}

static struct usp_error *add_members(struct types_reader *reader, struct types_layout *layout,
				     const struct types_die *of, struct place place)
{
	struct types_die child;
	bool found;
	struct usp_error *error = types_reader_step(reader, place.depth);
	if (!error)
		error = types_die_child(of, NULL, &child, &found);
	for (; !error && found; error = types_die_child(of, &child, &child, &found)) {
		error = types_reader_step(reader, place.depth);
		if (error)
			return error;
		if (child.tag == DW_TAG_member)
			error = add_member(reader, layout, &child, place);
		else if (child.tag == DW_TAG_inheritance)
			error = add_base(reader, layout, &child, place);
		else if (child.tag == DW_TAG_subprogram && types_die_has(&child, TYPES_AT_VTABLE_SLOT))
			error = add_virtual(reader, layout, &child);
		else if (child.tag == DW_TAG_enumerator)
			error = add_enumerator(reader, layout, &child);
		if (error)
			return error;
	}
	return error;
}

static struct usp_error *read_type(struct types_reader *reader, const struct types_die *d,
				   struct types_layout *ret)
{
	ret->tag = d->tag == DW_TAG_class_type ? DW_TAG_structure_type : d->tag;
	ret->has_size = types_die_number(d, TYPES_AT_BYTE_SIZE, &ret->size);
	types_die_number(d, TYPES_AT_ALIGNMENT, &ret->alignment);
	return add_members(reader, ret, d, (struct place){.prefix = ""});
}

static struct usp_error *read_variable(struct types_reader *reader, const struct types_die *d,
				       struct types_layout *ret)
{
	const char *name;
	struct usp_error *error = types_words(reader, d);
	if (!error)
		error = types_reader_take(reader, &ret->type);
	if (!error)
		error = types_die_symbol(d, &name);
	if (!error)
		error = types_die_is_constant(d, &ret->constant);
	types_die_number(d, TYPES_AT_ALIGNMENT, &ret->alignment);
	return error || !name ? error : expand(reader, ret, d, name, (struct place){.prefix = ""});
}

struct usp_error *types_layout_read(struct types_reader *reader, const struct types_die *d,
				    struct types_layout *ret)
{
	struct usp_error *error;
	*ret = (struct types_layout){0};
	if (types_die_is_definition(d)) {
		error = read_type(reader, d, ret);
	} else if (d->tag == DW_TAG_subprogram) {
		error = types_words_function(reader, d);
		if (!error)
			error = types_reader_take(reader, &ret->type);
	} else {
		error = read_variable(reader, d, ret);
	}
	if (error)
		types_layout_deinit(ret);
	return error;
}

void types_layout_deinit(struct types_layout *layout)
{
	free(layout->members);
	*layout = (struct types_layout){0};
}

bool types_layout_equal(const struct types_layout *a, const struct types_layout *b)
{
	if (a->tag != b->tag || a->has_size != b->has_size || a->size != b->size ||
	    a->alignment != b->alignment || !a->type != !b->type || (a->type && strcmp(a->type, b->type)) ||
	    a->n_members != b->n_members)
		return false;
	for (size_t i = 0; i < a->n_members; i++) {
		const struct types_member *x = &a->members[i], *y = &b->members[i];
		if (x->kind != y->kind || x->at != y->at || x->bits != y->bits || strcmp(x->path, y->path) ||
		    strcmp(x->type, y->type))
			return false;
	}
	return true;
}

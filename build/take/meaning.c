// SPDX-License-Identifier: MIT
/* What a reference of something that is taken in means: take_meaning(). */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/definitions.h"
#include "build/libraries.h"
#include "build/take/take.h"

/* ---- what the target is asked for ---- */

static struct usp_error *add_import(struct take *take, char *name, bool by_address, uint64_t address,
				    bool weak, size_t *ret)
{
	if (!name)
		return &usp_error_no_memory;
	if (!object_grow(&take->imports, take->n_imports, &take->import_capacity, sizeof(*take->imports))) {
		free(name);
		return &usp_error_no_memory;
	}
	take->imports[take->n_imports] = (struct take_import){
		.name = name, .by_address = by_address, .address = address, .weak = weak};
	*ret = take->n_imports++;
	return NULL;
}

/* Whether other modules can have it in the library's place: then the dynamic linker's choice counts, by name. */
static bool is_replaceable(struct module *module, const char *name)
{
	return !module_is_program(module) && module_exports(module, name);
}

static struct usp_error *import_name(struct take *take, const char *name, bool weak, size_t *ret)
{
	for (size_t i = 0; i < take->n_imports; i++)
		if (!take->imports[i].by_address && !strcmp(take->imports[i].name, name)) {
			*ret = i;
			return NULL;
		}
	return add_import(take, strdup(name), false, 0, weak, ret);
}

static bool is_import_name(const struct take *take, const char *name)
{
	for (size_t i = 0; i < take->n_imports; i++)
		if (!strcmp(take->imports[i].name, name))
			return true;
	return false;
}

/* "state:a.c", and "state:a.c~2" if there is such a one at another address. */
static struct usp_error *import_address(struct take *take, const char *name, const char *file,
					uint64_t address, size_t *ret)
{
	size_t length = strlen(name);
	for (size_t i = 0; i < take->n_imports; i++) {
		const struct take_import *at = &take->imports[i];
		if (at->by_address && at->address == address && !strncmp(at->name, name, length) &&
		    at->name[length] == ':') {
			*ret = i;
			return NULL;
		}
	}
	char *unique = NULL;
	for (unsigned k = 1; !unique || is_import_name(take, unique); k++) {
		free(unique);
		int r = k == 1 ? asprintf(&unique, "%s:%s", name, file)
			       : asprintf(&unique, "%s:%s~%u", name, file, k);
		if (r < 0)
			return &usp_error_no_memory;
	}
	return add_import(take, unique, true, address, false, ret);
}

/* One of the objects before refers to it already, so that the program has been linked with it. */
static bool was_referred_to(const struct take *take, const char *name)
{
	for (size_t i = 0; i < take->n; i++) {
		const struct object *before = take->objects[i].diff->side[OBJECT_BEFORE];
		for (uint32_t k = 1; k < before->n_symbols; k++)
			if (before->symbols[k].section == SHN_UNDEF && !strcmp(before->symbols[k].name, name))
				return true;
	}
	return false;
}

/* The target's, or a library's. *known: the target has it. */
static struct usp_error *meaning_of_import(struct take *take, const struct object_symbol *symbol, bool *known,
					   struct take_meaning *ret)
{
	struct definitions found;
	struct usp_error *error = definitions_find(take->names, symbol->name, &found);
	if (error)
		return error;
	bool imported = module_imports(take->target, symbol->name);
	const struct entry *own = found.shared ? found.shared : imported ? NULL : found.local;
	*known = imported || found.shared;
	ret->where = TAKE_IMPORT;
	if (!own || own->type == STT_GNU_IFUNC || is_replaceable(take->target, symbol->name))
		return import_name(take, symbol->name, symbol->binding == STB_WEAK, &ret->import);
	/* Other linkers (lld) tell hidden globals from local ones by nothing. A local one is not what a reference from another file means. */
	if (own == found.local && (found.ambiguous || !was_referred_to(take, symbol->name)))
		return usp_errorf(USP_UNSUPPORTED,
				  "%s has a local symbol %s, and no other: whether it or a library's is "
				  "meant cannot be "
				  "told",
				  take->target->name, symbol->name);
	return import_address(take, symbol->name, "", own->value, &ret->import);
}

static uint64_t tls_start(const struct module *module)
{
	for (size_t i = 0; i < module->n_phdr; i++)
		if (module->phdr[i].p_type == PT_TLS)
			return module->phdr[i].p_vaddr;
	return 0;
}

static struct usp_error *meaning_of_original(struct take *take, const struct take_object *o, uint32_t piece,
					     struct take_meaning *ret)
{
	const struct object_piece *p = &take_after(o)->pieces[piece];
	ret->where = TAKE_IMPORT;
	if (p->global && p->name && (p->ifunc || is_replaceable(take->target, p->name)))
		return import_name(take, p->name, false, &ret->import);
	uint64_t address = take_original(o, piece);
	if (object_piece_section(take_after(o), p)->kind == OBJECT_KIND_TLS)
		address -= tls_start(take->target);
	bool was_global = p->global && !object_diff_became_global(o->diff, piece);
	return import_address(take, take_name(p), was_global ? "" : o->file, address, &ret->import);
}

/* A name that the object does not define: new in another object, or the program's, or a library's. */
static struct usp_error *meaning_of_name(struct take *take, const struct object_symbol *symbol,
					 struct take_meaning *ret)
{
	bool unused;
	for (size_t i = 0; i < take->n; i++) {
		const struct object *after = take_after(&take->objects[i]);
		for (uint32_t k = 1; k < after->n_symbols; k++) {
			const struct object_symbol *s = &after->symbols[k];
			if (s->binding != STB_GLOBAL || s->section == SHN_UNDEF || s->section == SHN_ABS ||
			    s->section == SHN_COMMON || strcmp(s->name, symbol->name))
				continue;
			const struct object_piece *p = object_piece_at(after, s->section, s->value);
			if (!p || p->offset != s->value)
				continue;
			uint32_t piece = (uint32_t)(p - after->pieces);
			if (take_original(&take->objects[i], piece) == PLACE_NONE) {
				ret->where = TAKE_COPY;
				ret->object = i;
				ret->piece = piece;
				return NULL;
			}
			if (object_diff_became_global(take->objects[i].diff, piece))
				return meaning_of_original(take, &take->objects[i], piece, ret);
		}
	}
	return meaning_of_import(take, symbol, &unused, ret);
}

/* A weak definition that the linker has passed over for another one. */
static struct usp_error *meaning_of_weak(struct take *take, const struct take_object *o, uint32_t piece,
					 bool *known, struct take_meaning *ret)
{
	const struct object_piece *p = &take_after(o)->pieces[piece];
	*known = false;
	if (!p->weak || p->strong || !p->symbol || take_original(o, piece) != PLACE_NONE)
		return NULL;
	struct take_meaning meaning = *ret;
	struct usp_error *error =
		meaning_of_import(take, &take_after(o)->symbols[p->symbol], known, &meaning);
	if (!error && *known)
		*ret = meaning;
	return error;
}

/* ---- pieces ---- */

static bool is_call(const struct object *object, const struct object_piece *p,
		    const struct object_reference *r)
{
	const uint8_t *bytes = object_piece_bytes(object, p);
	return r->branch && r->width == 4 && r->offset && bytes[r->offset - 1] == 0xe8;
}

static struct usp_error *meaning_of_code(struct take *take, size_t index, uint32_t from,
					 const struct object_reference *r, struct take_meaning *ret)
{
	const struct take_object *o = &take->objects[index];
	const struct object *object = take_after(o);
	const struct object_piece *user = &object->pieces[from], *p = &object->pieces[r->piece];
	bool user_is_code = object_piece_is_code(object, user);
	bool entry = p->parent == OBJECT_NONE && !r->addend;
	bool inside = user_is_code ? take_owner(object, from) == take_owner(object, r->piece) : !entry;
	/* One door: calls, and the address, of a function that the target has are the original's. */
	bool jumps = r->branch && !is_call(object, user, r);
	if (take_original(o, r->piece) != PLACE_NONE && entry && !(inside && jumps))
		return meaning_of_original(take, o, r->piece, ret);
	bool weak = false;
	struct usp_error *error = entry && !inside ? meaning_of_weak(take, o, r->piece, &weak, ret) : NULL;
	if (error || weak)
		return error;
	if (inside || entry) {
		ret->where = TAKE_COPY;
		ret->piece = r->piece;
		return NULL;
	}
	return usp_errorf(USP_UNSUPPORTED, "%s refers to a place in the midst of %s (+0x%llx)",
			  take_name(user), take_name(p), (long long)r->addend);
}

/* A table of places in functions that are taken in: the one that the target has leads into the old ones. */
static bool leads_inside(const struct take_object *o, const struct object_piece *p)
{
	const struct object *object = take_after(o);
	for (size_t i = 0; i < p->n_references; i++) {
		const struct object_reference *r = &p->references[i];
		if (r->target != OBJECT_TARGET_PIECE)
			continue;
		const struct object_piece *q = &object->pieces[r->piece];
		if (object_piece_is_code(object, q) && (r->addend || q->parent != OBJECT_NONE) &&
		    !take_is_same(o, r->piece))
			return true;
	}
	return false;
}

/*
 * Given by its section, in the midst of a variable: should it mean what lies beside that (`table - 1`), then that is
 * right only if the two lie beside each other in the target, too.
 */
static bool keeps_neighbour(const struct take_object *o, uint32_t piece)
{
	const struct object *after = take_after(o), *before = o->diff->side[OBJECT_BEFORE];
	if (piece + 1 >= after->n_pieces || after->pieces[piece + 1].section != after->pieces[piece].section)
		return true;
	uint32_t x = o->diff->pairs.other[OBJECT_AFTER][piece],
		 y = o->diff->pairs.other[OBJECT_AFTER][piece + 1];
	return y != OBJECT_NONE && before->pieces[x].section == before->pieces[y].section &&
	       before->pieces[y].offset - before->pieces[x].offset ==
		       after->pieces[piece + 1].offset - after->pieces[piece].offset;
}

static struct usp_error *meaning_of_data(struct take *take, size_t index, uint32_t from,
					 const struct object_reference *r, struct take_meaning *ret)
{
	const struct take_object *o = &take->objects[index];
	const struct object *object = take_after(o);
	const struct object_piece *user = &object->pieces[from], *p = &object->pieces[r->piece];
	enum object_kind kind = object_piece_section(object, p)->kind;
	bool constant = kind == OBJECT_KIND_CONSTANT || p->labels;
	bool original = p->symbol && take_original(o, r->piece) != PLACE_NONE;
	bool added = o->diff->pairs.other[OBJECT_AFTER][r->piece] == OBJECT_NONE;
	bool copy = constant ? !original || p->labels || leads_inside(o, p) ||
				       (!p->global && !take_is_same(o, r->piece))
			     : added;
	if (kind == OBJECT_KIND_START || kind == OBJECT_KIND_SPECIAL)
		return usp_errorf(USP_UNSUPPORTED,
				  "%s refers to section %s, and what that means is not known",
				  take_name(user), object_piece_section(object, p)->name);
	if (copy && kind == OBJECT_KIND_TLS)
		return usp_errorf(
			USP_UNSUPPORTED,
			"%s uses the new thread-local variable %s: running threads have no room for it",
			take_name(user), take_name(p));
	bool weak = false;
	struct usp_error *error = meaning_of_weak(take, o, r->piece, &weak, ret);
	if (error || weak)
		return error;
	if (!p->symbol && !constant)
		return usp_errorf(USP_UNSUPPORTED, "%s uses a variable without a name, in section %s",
				  take_name(user), object_piece_section(object, p)->name);
	if (!copy && !original)
		return usp_errorf(USP_MISMATCH, "%s uses the variable %s, which is not found in %s",
				  take_name(user), take_name(p), take->target->name);
	if (!copy && r->by_section && r->addend && !r->access && !keeps_neighbour(o, r->piece))
		return usp_errorf(
			USP_UNSUPPORTED,
			"%s refers to %s+0x%llx; whether that is meant, or something beside it, cannot be "
			"told: what lies there is not what lay there before",
			take_name(user), take_name(p), (long long)r->addend);
	if (!copy)
		return meaning_of_original(take, o, r->piece, ret);
	ret->where = TAKE_COPY;
	ret->piece = r->piece;
	return NULL;
}

struct usp_error *take_meaning(struct take *take, size_t index, uint32_t piece,
			       const struct object_reference *r, struct take_meaning *ret)
{
	const struct object *object = take_after(&take->objects[index]);
	*ret = (struct take_meaning){.object = index, .addend = r->addend};
	switch (r->target) {
	case OBJECT_TARGET_NAME:
		return meaning_of_name(take, &object->symbols[r->symbol], ret);
	case OBJECT_TARGET_PIECE:
		return object_piece_is_code(object, &object->pieces[r->piece])
			       ? meaning_of_code(take, index, piece, r, ret)
			       : meaning_of_data(take, index, piece, r, ret);
	case OBJECT_TARGET_STRING:
	case OBJECT_TARGET_CONSTANT:
		ret->where = TAKE_CONTENT;
		ret->section = r->section;
		ret->at = r->at;
		return NULL;
	case OBJECT_TARGET_VALUE:
		ret->where = TAKE_NUMBER;
		return NULL;
	case OBJECT_TARGET_UNKNOWN:
		break;
	}
	return usp_errorf(USP_UNSUPPORTED, "%s+0x%llx refers to something that cannot be told",
			  take_name(&object->pieces[piece]), (unsigned long long)r->offset);
}

// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/place/names.h"

#include <string.h>

#include "build/place/bytes.h"

#define CANDIDATES_MAX 4096u

/* A symbol that the linked program has as well, if it has the section. (One with a version has a twin without.) */
static bool counts(const struct object *object, const struct object_symbol *s)
{
	if (s->section == SHN_UNDEF || s->section >= object->n_sections || !*s->name ||
	    !strncmp(s->name, ".L", 2) || strchr(s->name, '@'))
		return false;
	const struct object_section *in = &object->sections[s->section];
	if (!(in->flags & SHF_ALLOC) || in->kind == OBJECT_KIND_STRINGS || in->kind == OBJECT_KIND_MERGED ||
	    in->kind == OBJECT_KIND_IGNORED || s->value >= in->size)
		return false;
	switch (s->type) {
	case STT_FUNC:
	case STT_GNU_IFUNC:
	case STT_OBJECT:
	case STT_TLS:
	case STT_NOTYPE:
		return s->size || s->binding != STB_LOCAL;
	default:
		return false;
	}
}

static int by_section(const void *a, const void *b, void *context)
{
	const struct object_symbol *symbols = context;
	uint32_t x = symbols[*(const uint32_t *)a].section, y = symbols[*(const uint32_t *)b].section;
	return x < y ? -1 : x > y;
}

struct usp_error *place_names_init(const struct object *object, struct module *names,
				   const struct module *target, struct place_names *ret)
{
	*ret = (struct place_names){.object = object, .target = target};
	struct usp_error *error = symbol_table_full(names, &ret->table);
	if (error)
		return error;
	ret->set = ret->table->has_symtab ? &ret->table->full : &ret->table->dynamic;
	(void)place_tls(target, &ret->tls_start, &ret->tls_size);
	ret->order = calloc(object->n_symbols, sizeof(*ret->order));
	ret->files = calloc(object->n_symbols, sizeof(*ret->files));
	if (!ret->order || !ret->files) {
		place_names_deinit(ret);
		return &usp_error_no_memory;
	}
	uint32_t file = 0;
	for (uint32_t i = 1; i < object->n_symbols; i++) {
		if (object->symbols[i].type == STT_FILE)
			file = *object->symbols[i].name ? i : 0;
		if (object->symbols[i].binding == STB_LOCAL)
			ret->files[i] = file;
		if (counts(object, &object->symbols[i]))
			ret->order[ret->n_order++] = i;
	}
	qsort_r(ret->order, ret->n_order, sizeof(*ret->order), by_section, object->symbols);
	return NULL;
}

void place_names_deinit(struct place_names *names)
{
	free(names->order);
	free(names->files);
	names->order = names->files = NULL;
}

static bool type_fits(unsigned char a, unsigned char b)
{
	if ((a == STT_TLS) != (b == STT_TLS))
		return false;
	bool a_code = a == STT_FUNC || a == STT_GNU_IFUNC, b_code = b == STT_FUNC || b == STT_GNU_IFUNC;
	return a == b || a == STT_NOTYPE || b == STT_NOTYPE || (a_code && b_code);
}

/* A global symbol that the linker made local: hidden, or by a version script. */
static bool made_local(const struct entry *entry)
{
	return entry->visibility != STV_DEFAULT || !entry->file;
}

/* All but the size. */
static bool is_named(const struct place_names *names, uint32_t symbol, const struct entry *entry)
{
	const struct object_symbol *s = &names->object->symbols[symbol];
	const char *file = names->object->symbols[names->files[symbol]].name; /* that of symbol 0 is "" */
	bool same_file = !*file || (entry->file && !strcmp(entry->file, file));
	if (!type_fits(s->type, entry->type))
		return false;
	if (s->binding == STB_LOCAL)
		return entry->binding == STB_LOCAL && same_file;
	return entry->binding != STB_LOCAL || made_local(entry) || same_file;
}

static bool fits(const struct place_names *names, uint32_t symbol, const struct entry *entry)
{
	return names->object->symbols[symbol].size == entry->size && is_named(names, symbol, entry);
}

static uint64_t address_of(const struct place_names *names, const struct entry *entry)
{
	return entry->type == STT_TLS ? names->tls_start + entry->value : entry->value;
}

/* What .dynsym does not know says nothing. */
static bool can_be_known(const struct place_names *names, uint32_t symbol)
{
	const struct object_symbol *s = &names->object->symbols[symbol];
	return names->table->has_symtab || (s->binding != STB_LOCAL && symbol_set_first(names->set, s->name));
}

static bool within(uint64_t start, uint64_t size, uint64_t address, uint64_t n)
{
	return address >= start && address - start <= size && n <= size - (address - start);
}

bool place_names_sound(const struct place_names *names, uint32_t section, uint64_t address)
{
	const struct object_section *s = &names->object->sections[section];
	if (address & (s->align - 1))
		return false;
	if (s->flags & SHF_TLS)
		return within(names->tls_start, names->tls_size, address, s->size);
	for (size_t i = 0; i < names->target->n_phdr; i++) {
		const Elf64_Phdr *phdr = &names->target->phdr[i];
		if (phdr->p_type == PT_LOAD && within(phdr->p_vaddr, phdr->p_memsz, address, s->size))
			return true;
	}
	return false;
}

/* The symbols of one section that have to be there. */
struct wanted {
	const uint32_t *v;
	size_t n;
	bool weak; /* they are, and nothing else is there */
};

static bool is_wanted(const struct place_names *names, const struct wanted *wanted, uint32_t symbol)
{
	bool weak = names->object->symbols[symbol].binding == STB_WEAK;
	return weak == wanted->weak && can_be_known(names, symbol);
}

/* Whether the program has this symbol there, from that linked object if it is a local one. */
static bool is_there(const struct place_names *names, uint32_t symbol, uint64_t address, uint32_t file,
		     uint32_t *group)
{
	const struct object_symbol *s = &names->object->symbols[symbol];
	for (const struct entry *e = symbol_set_first(names->set, s->name); e;
	     e = symbol_set_next(names->set, e)) {
		if (!fits(names, symbol, e) || address_of(names, e) != address + s->value)
			continue;
		if (s->binding != STB_LOCAL || names->files[symbol] != file)
			return true;
		if (*group && e->group != *group)
			continue;
		*group = e->group;
		return true;
	}
	return false;
}

static bool all_are_there(const struct place_names *names, const struct wanted *wanted,
			  struct place_candidate *at, uint32_t file)
{
	for (size_t i = 0; i < wanted->n; i++)
		if (is_wanted(names, wanted, wanted->v[i]) &&
		    !is_there(names, wanted->v[i], at->address, file, &at->group))
			return false;
	return true;
}

static size_t count_entries(const struct place_names *names, uint32_t symbol)
{
	size_t n = 0;
	for (const struct entry *e = symbol_set_first(names->set, names->object->symbols[symbol].name);
	     e && n <= CANDIDATES_MAX; e = symbol_set_next(names->set, e))
		n += fits(names, symbol, e);
	return n;
}

static struct usp_error *add_candidate(struct place_candidates *to, const struct place_candidate *at,
				       size_t *capacity)
{
	for (size_t i = 0; i < to->n; i++)
		if (to->v[i].address == at->address && to->v[i].group == at->group)
			return NULL;
	if (!object_grow(&to->v, to->n, capacity, sizeof(*to->v)))
		return &usp_error_no_memory;
	to->v[to->n++] = *at;
	return NULL;
}

/* From each place of the symbol that has the fewest. */
static struct usp_error *collect(const struct place_names *names, uint32_t section,
				 const struct wanted *wanted, uint32_t rarest, struct place_candidates *ret)
{
	const struct object_symbol *s = &names->object->symbols[rarest];
	size_t capacity = 0;
	for (const struct entry *e = symbol_set_first(names->set, s->name); e;
	     e = symbol_set_next(names->set, e)) {
		if (!fits(names, rarest, e))
			continue;
		struct place_candidate at = {.address = address_of(names, e) - s->value};
		if (s->binding == STB_LOCAL && names->files[rarest] == ret->file)
			at.group = e->group;
		if (!place_names_sound(names, section, at.address) ||
		    !all_are_there(names, wanted, &at, ret->file))
			continue;
		struct usp_error *error = add_candidate(ret, &at, &capacity);
		if (error)
			return error;
	}
	return NULL;
}

static struct wanted find_wanted(const struct place_names *names, uint32_t section)
{
	const struct object_symbol *symbols = names->object->symbols;
	size_t low = 0, high = names->n_order;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (symbols[names->order[middle]].section < section)
			low = middle + 1;
		else
			high = middle;
	}
	struct wanted wanted = {.v = names->order + low, .weak = true};
	while (low + wanted.n < names->n_order && symbols[wanted.v[wanted.n]].section == section) {
		uint32_t i = wanted.v[wanted.n++];
		if (symbols[i].binding != STB_WEAK && can_be_known(names, i))
			wanted.weak = false;
	}
	return wanted;
}

struct usp_error *place_names_candidates(const struct place_names *names, uint32_t section,
					 struct place_candidates *ret)
{
	const struct object *object = names->object;
	bool comdat = object->sections[section].group;
	struct wanted wanted = find_wanted(names, section);
	uint32_t rarest = 0;
	size_t fewest = SIZE_MAX;
	*ret = (struct place_candidates){.shared = wanted.weak || comdat};
	for (size_t i = 0; i < wanted.n; i++) {
		uint32_t k = wanted.v[i];
		if (!is_wanted(names, &wanted, k))
			continue;
		bool local = object->symbols[k].binding == STB_LOCAL;
		size_t n = count_entries(names, k);
		if (n < fewest) {
			fewest = n;
			rarest = k;
		}
		ret->named = true;
		ret->strong |= !local && !ret->shared;
		if (local && !ret->file)
			ret->file = names->files[k];
	}
	if (!ret->named)
		return NULL;
	if (fewest > CANDIDATES_MAX)
		return usp_errorf(USP_AMBIGUOUS, "%s is in more than %u places of the program",
				  object->symbols[rarest].name, CANDIDATES_MAX);
	struct usp_error *error = collect(names, section, &wanted, rarest, ret);
	if (error) {
		free(ret->v);
		ret->v = NULL;
		ret->n = 0;
	}
	return error;
}

uint64_t place_names_global(const struct place_names *names, uint32_t symbol)
{
	const struct object_symbol *s = &names->object->symbols[symbol];
	uint64_t found[3] = {PLACE_NONE, PLACE_NONE, PLACE_NONE};
	bool several[3] = {false};
	/* The global one of the default version, else of another version, else one that was made local. */
	for (const struct entry *e = symbol_set_first(names->set, s->name); e;
	     e = symbol_set_next(names->set, e)) {
		unsigned rank = e->binding == STB_LOCAL ? 2 : e->hidden_version;
		if ((rank == 2 && !made_local(e)) || ((s->type == STT_TLS) != (e->type == STT_TLS)))
			continue;
		uint64_t address = address_of(names, e);
		several[rank] |= found[rank] != PLACE_NONE && found[rank] != address;
		found[rank] = address;
	}
	for (unsigned rank = 0; rank < 3; rank++)
		if (found[rank] != PLACE_NONE)
			return several[rank] ? PLACE_NONE : found[rank];
	return PLACE_NONE;
}

struct place_hint place_names_hint(const struct place_names *names, uint32_t symbol)
{
	struct place_hint hint = {PLACE_NONE, 0};
	const struct object_symbol *s = &names->object->symbols[symbol];
	for (const struct entry *e = symbol_set_first(names->set, s->name); e;
	     e = symbol_set_next(names->set, e)) {
		uint64_t address = address_of(names, e);
		if (!is_named(names, symbol, e))
			continue;
		if (hint.address != PLACE_NONE && hint.address != address)
			return (struct place_hint){PLACE_NONE, 0};
		hint = (struct place_hint){address, e->size};
	}
	return hint;
}

size_t place_names_files(const struct place_names *names, uint32_t file)
{
	size_t n = 0;
	for (size_t i = 0; i < names->table->n_files; i++)
		n += !strcmp(names->table->files[i], names->object->symbols[file].name);
	return n;
}

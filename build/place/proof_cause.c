// SPDX-License-Identifier: MIT
/*
 * proof_cause(): the compiler's own words on both sides. The object's line for itself (DW_AT_producer) is compared with
 * the one that the program has for the same source file; where there is no debug information, the compilers' names.
 */
#define _GNU_SOURCE
#include "build/place/proof.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "process/elf/debugfile.h"
#include "process/elf/elffile.h"

#define UNITS_MAX 65536u
#define TEXT_MAX  4096u

/* A compilation unit, as far as it matters. */
struct unit {
	const char *name, *directory, *producer; /* "" if not there */
};

static const char *attribute(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;
	const char *text = dwarf_formstring(dwarf_attr(die, name, &attribute));
	return text ? text : "";
}

/* Calls fn for each unit until it returns true. */
static void each_unit(Dwarf *dwarf, bool (*fn)(void *context, const struct unit *unit), void *context)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;
	uint8_t type;
	for (unsigned n = 0; n < UNITS_MAX; n++) {
		if (dwarf_get_units(dwarf, cu, &cu, NULL, &type, &die, NULL) != 0)
			return;
		if (type != DW_UT_compile && type != DW_UT_skeleton)
			continue;
		struct unit unit = {attribute(&die, DW_AT_name), attribute(&die, DW_AT_comp_dir),
				    attribute(&die, DW_AT_producer)};
		if (*unit.producer && fn(context, &unit))
			return;
	}
}

/* The object's unit, copied, and the program's that is most likely the same one. */
struct search {
	char *name, *directory, *producer, *found;
	unsigned
		rank; /* of what was found: 3 the same file and directory, 2 the same file, 1 the last part of it */
	bool several; /* of this rank, and they do not agree */
	bool failed;
};

static bool take_own(void *context, const struct unit *unit)
{
	struct search *search = context;
	search->name = strdup(unit->name);
	search->directory = strdup(unit->directory);
	search->producer = strndup(unit->producer, TEXT_MAX);
	search->failed = !search->name || !search->directory || !search->producer;
	return true;
}

static bool take_other(void *context, const struct unit *unit)
{
	struct search *search = context;
	unsigned rank = 0;
	if (!strcmp(unit->name, search->name))
		rank = strcmp(unit->directory, search->directory) ? 2 : 3;
	else if (!strcmp(basename(unit->name), basename(search->name)))
		rank = 1;
	if (!rank || rank < search->rank)
		return false;
	if (rank == search->rank) {
		search->several |= strcmp(search->found, unit->producer) != 0;
		return false;
	}
	free(search->found);
	search->found = strndup(unit->producer, TEXT_MAX);
	search->rank = rank;
	search->several = false;
	search->failed |= !search->found;
	return search->failed;
}

/* What is not in the object itself is not looked for. */
static int find_nothing(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, const char *file,
			const char *link, GElf_Word crc, char **ret)
{
	(void)module, (void)data, (void)name, (void)base, (void)file, (void)link, (void)crc, (void)ret;
	return -1;
}

/* An object's strings are found only once its relocations are applied; libdwfl does that, from a file. */
static void read_object(const struct object *object, struct search *search)
{
	static const Dwfl_Callbacks callbacks = {.section_address = dwfl_offline_section_address,
						 .find_debuginfo = find_nothing};
	int fd = memfd_create("usplice-object", MFD_CLOEXEC);
	size_t done = 0;
	ssize_t n = 0;
	while (fd >= 0 && done < object->size &&
	       (n = write(fd, object->data + done, object->size - done)) > 0)
		done += (size_t)n;
	Dwfl *dwfl = fd >= 0 && done == object->size ? dwfl_begin(&callbacks) : NULL;
	Dwfl_Module *module = NULL;
	Dwarf_Addr bias;
	if (dwfl) {
		dwfl_report_begin(dwfl);
		module = dwfl_report_offline(dwfl, "object", "object", fd);
		if (module)
			fd = -1; /* its own now */
		(void)dwfl_report_end(dwfl, NULL, NULL);
	}
	Dwarf *dwarf = module ? dwfl_module_getdwarf(module, &bias) : NULL;
	if (dwarf)
		each_unit(dwarf, take_own, search);
	dwfl_end(dwfl);
	if (fd >= 0)
		close(fd);
}

static bool read_units(int fd, struct search *search)
{
	Dwarf *dwarf = fd >= 0 ? dwarf_begin(fd, DWARF_C_READ) : NULL;
	if (!dwarf)
		return false;
	each_unit(dwarf, take_other, search);
	dwarf_end(dwarf);
	return search->rank;
}

static struct usp_error *read_program(struct module *names, struct search *search)
{
	struct elf_file *debug = NULL;
	_cleanup_free_ char *where = NULL;
	if (!names->elf || read_units(names->fd, search))
		return NULL;
	if (debugfile_open(names, &debug, &where) < 0)
		return &usp_error_no_memory;
	if (debug)
		(void)read_units(debug->fd, search);
	elf_file_close(debug);
	return NULL;
}

static void show(FILE *out, const char *text, size_t n)
{
	for (size_t i = 0; i < n && i < TEXT_MAX; i++)
		fputc((unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i], out);
}

static bool has_word(const char *text, const char *word, size_t n)
{
	while (*text) {
		size_t length = strcspn(text, " ");
		if (length == n && !memcmp(text, word, n))
			return true;
		text += length;
		text += strspn(text, " ");
	}
	return false;
}

/* Words of one that are not in the other; "nothing" when there is none. */
static void show_missing(FILE *out, const char *text, const char *other)
{
	bool any = false;
	while (*text) {
		size_t n = strcspn(text, " ");
		if (n && !has_word(other, text, n)) {
			fputc(' ', out);
			show(out, text, n);
			any = true;
		}
		text += n;
		text += strspn(text, " ");
	}
	if (!any)
		fputs(" nothing more", out);
}

static void compare_producers(FILE *out, const struct search *search)
{
	if (!search->producer || !search->found || search->several ||
	    !strcmp(search->producer, search->found))
		return;
	fputs("compiled differently (DW_AT_producer): rebuilt with", out);
	show_missing(out, search->producer, search->found);
	fputs("; the target with", out);
	show_missing(out, search->found, search->producer);
}

/* Whether the strings of a .comment section have this one. */
static bool has_string(const char *strings, size_t size, const char *string, size_t n)
{
	for (size_t at = 0; at < size;) {
		size_t length = strnlen(strings + at, size - at);
		if (length == n && !memcmp(strings + at, string, n))
			return true;
		at += length + 1;
	}
	return false;
}

/* All compilers that a .comment names. */
static void show_strings(FILE *out, const char *strings, size_t size)
{
	bool any = false;
	for (size_t at = 0; at < size;) {
		size_t length = strnlen(strings + at, size - at);
		if (length && any)
			fputs(", ", out);
		show(out, strings + at, length);
		any |= length > 0;
		at += length + 1;
	}
}

static void compare_comments(FILE *out, const struct object *object, const struct module *names)
{
	const Elf64_Shdr *theirs = names->elf ? elf_file_section(names->elf, ".comment") : NULL;
	const char *other = theirs ? elf_file_section_bytes(names->elf, theirs) : NULL;
	for (uint32_t i = 1; other && i < object->n_sections; i++) {
		const struct object_section *s = &object->sections[i];
		const char *strings = (const char *)s->data;
		for (size_t at = 0; strings && !strcmp(s->name, ".comment") && at < s->size;) {
			size_t length = strnlen(strings + at, s->size - at);
			if (length && !has_string(other, theirs->sh_size, strings + at, length)) {
				fputs("another compiler (.comment): rebuilt with ", out);
				show(out, strings + at, length);
				fputs("; the target has ", out);
				show_strings(out, other, theirs->sh_size);
				return;
			}
			at += length + 1;
		}
	}
}

struct usp_error *proof_cause(const struct object *object, struct module *names, char **cause)
{
	struct search search = {0};
	char *text = NULL;
	size_t size = 0;
	*cause = NULL;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return &usp_error_no_memory;
	read_object(object, &search);
	struct usp_error *error = search.producer && !search.failed ? read_program(names, &search) : NULL;
	if (!error && search.failed)
		error = &usp_error_no_memory;
	if (!error) {
		compare_producers(out, &search);
		if (!ftell(out))
			compare_comments(out, object, names);
	}
	if (fclose(out) && !error)
		error = &usp_error_no_memory;
	free(search.name);
	free(search.directory);
	free(search.producer);
	free(search.found);
	if (error || !size)
		free(text);
	else
		*cause = text;
	return error;
}

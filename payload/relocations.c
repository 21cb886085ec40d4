// SPDX-License-Identifier: MIT
/* Relocation sections: payload_file_relocations(). */
#include "payload/file.h"

#include <stdlib.h>
#include <string.h>

#include "payload/relocation.h"

static struct usp_error *check_section(const struct payload_file *file, uint32_t i)
{
	const struct payload_section *s = &file->sections[i];
	if (s->entry_size != sizeof(Elf64_Rela))
		return payload_bad("relocation section %s (%u): entry size %llu, not %zu", s->name, i,
				   (unsigned long long)s->entry_size, sizeof(Elf64_Rela));
	if (s->flags & SHF_COMPRESSED)
		return payload_bad("relocation section %s (%u) is compressed", s->name, i);
	if (s->size % sizeof(Elf64_Rela))
		return payload_bad("relocation section %s (%u): its size 0x%llx is no multiple of %zu",
				   s->name, i, (unsigned long long)s->size, sizeof(Elf64_Rela));
	if (s->link != file->symbol_section)
		return payload_bad(
			"relocation section %s (%u): is linked to section %u, not to the symbol table (%u)",
			s->name, i, s->link, file->symbol_section);
	if (!s->info || s->info >= file->n_sections)
		return payload_bad("relocation section %s (%u): applies to section %u, of %u", s->name, i,
				   s->info, file->n_sections);
	const struct payload_section *to = &file->sections[s->info];
	switch (to->type) {
	case SHT_NULL:
	case SHT_RELA:
	case SHT_SYMTAB:
	case SHT_STRTAB:
	case SHT_GROUP:
		return payload_bad("relocation section %s (%u): applies to section %s (%u), which is a table",
				   s->name, i, to->name, s->info);
	case SHT_NOBITS:
		if (s->size)
			return payload_bad("relocation section %s (%u): applies to section %s (%u), which "
					   "has no contents",
					   s->name, i, to->name, s->info);
		break;
	default:
		break;
	}
	if (to->relocation_section)
		return payload_bad("relocation section %s (%u): section %s (%u) has another one, %s", s->name,
				   i, to->name, s->info, file->sections[to->relocation_section].name);
	return NULL;
}

/* What the symbol of a relocation in a mapped section may be. */
static struct usp_error *check_symbol(const struct payload_file *file,
				      const struct payload_relocation_type *type,
				      struct payload_symbol *symbol)
{
	const char *name = payload_symbol_name(file, symbol);
	if (symbol == file->symbols)
		return payload_bad("%s against no symbol", type->name);
	if (symbol->type == STT_FILE)
		return payload_bad("%s against %s, which is a file's name", type->name, name);
	bool tls = type->use & PAYLOAD_USE_TLS;
	if (symbol->section != SHN_UNDEF && tls)
		return payload_bad("%s against %s, which is not thread-local", type->name, name);
	if (symbol->section != SHN_UNDEF && symbol->section != SHN_ABS &&
	    !payload_section_is_mapped(&file->sections[symbol->section]))
		return payload_bad("%s against %s in section %s, which is not loaded", type->name, name,
				   file->sections[symbol->section].name);
	if (symbol->section == SHN_UNDEF && type->formula == PAYLOAD_FORMULA_SIZE)
		return payload_bad("%s against %s, which is not defined here: its size is not known",
				   type->name, name);
	symbol->uses |= type->use;
	if ((symbol->uses & PAYLOAD_USE_TLS && symbol->uses & ~PAYLOAD_USE_TLS) ||
	    (symbol->type == STT_TLS && !tls && type->use))
		return payload_bad(
			"%s against %s, which is used as a thread-local variable and as something else",
			type->name, name);
	return NULL;
}

/*
 * A PC32 right behind the opcode of a call or a jump is a branch (the byte before the offset of a data
 * reference is its ModRM byte, 00…101 in binary: never E8, E9 or 80 to 8F). Assemblers before 2018 wrote
 * these.
 */
static bool is_branch(const struct payload_section *section, const struct payload_relocation *r)
{
	if (r->type != R_X86_64_PC32 || section->kind != PAYLOAD_SECTION_TEXT || !r->offset)
		return false;
	const uint8_t *p = section->data + r->offset;
	return p[-1] == 0xe8 || p[-1] == 0xe9 || (r->offset > 1 && p[-2] == 0x0f && (p[-1] & 0xf0) == 0x80);
}

static struct usp_error *read_one(struct payload_file *file, struct payload_section *section,
				  const Elf64_Rela *e, struct payload_relocation *r)
{
	*r = (struct payload_relocation){.offset = e->r_offset,
					 .type = (uint32_t)ELF64_R_TYPE(e->r_info),
					 .symbol = (uint32_t)ELF64_R_SYM(e->r_info),
					 .addend = e->r_addend};
	if (r->symbol >= file->n_symbols)
		return payload_bad("symbol index %u, of %u", r->symbol, file->n_symbols);
	const struct payload_relocation_type *type = payload_relocation_type(r->type);
	struct payload_symbol *symbol = &file->symbols[r->symbol];
	if (!type)
		return payload_bad("unknown relocation type %u against %s", r->type,
				   payload_symbol_name(file, symbol));
	if (type->formula == PAYLOAD_FORMULA_REFUSED)
		return payload_bad("%s (%u) against %s is not supported: %s", type->name, r->type,
				   payload_symbol_name(file, symbol), type->why);
	if (r->offset > section->size || section->size - r->offset < type->width)
		return payload_bad("%s past the section's end (0x%llx bytes)", type->name,
				   (unsigned long long)section->size);
	if (section->kind == PAYLOAD_SECTION_RECORDS) {
		if (r->type != R_X86_64_64 && r->type != R_X86_64_NONE)
			return payload_bad("%s in a record, where only R_X86_64_64 may be", type->name);
		return NULL;
	}
	if (type->formula == PAYLOAD_FORMULA_NONE)
		return NULL;
	if (is_branch(section, r)) {
		r->type = R_X86_64_PLT32;
		type = payload_relocation_type(r->type);
	}
	return check_symbol(file, type, symbol);
}

static struct usp_error *read_section(struct payload_file *file, uint32_t i, size_t *total)
{
	const struct payload_section *s = &file->sections[i];
	struct payload_section *to = &file->sections[s->info];
	if (!payload_section_is_mapped(to) && to->kind != PAYLOAD_SECTION_RECORDS)
		return NULL;
	size_t n = s->size / sizeof(Elf64_Rela);
	if (n > PAYLOAD_RELOCATIONS_MAX - *total)
		return payload_bad("relocation section %s (%u): more than %u relocations in all", s->name, i,
				   PAYLOAD_RELOCATIONS_MAX);
	*total += n;
	if (!n)
		return NULL;
	if (to->kind == PAYLOAD_SECTION_NOTE)
		return payload_bad("relocation section %s (%u): a build-id note has no relocations", s->name,
				   i);
	to->relocations = calloc(n, sizeof(*to->relocations));
	if (!to->relocations)
		return &usp_error_no_memory;
	to->n_relocations = n;
	for (size_t k = 0; k < n; k++) {
		Elf64_Rela e;
		memcpy(&e, s->data + k * sizeof(e), sizeof(e));
		struct usp_error *error = read_one(file, to, &e, &to->relocations[k]);
		if (error)
			return usp_error_prefix(error, "section %s, relocation %zu at 0x%llx", to->name, k,
						(unsigned long long)e.r_offset);
	}
	return NULL;
}

struct usp_error *payload_file_relocations(struct payload_file *file)
{
	size_t total = 0;
	for (uint32_t i = 1; i < file->n_sections; i++) {
		if (file->sections[i].type != SHT_RELA)
			continue;
		struct usp_error *error = check_section(file, i);
		if (!error) {
			file->sections[file->sections[i].info].relocation_section = i;
			error = read_section(file, i, &total);
		}
		if (error)
			return error;
	}
	return NULL;
}

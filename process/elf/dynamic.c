// SPDX-License-Identifier: MIT
#include "process/elf/dynamic.h"

#include <string.h>

#include "process/elf/elffile.h"

#define DYNAMIC_MAX  4096u /* entries */
#define VERSIONS_MAX 32768u
#define NEEDED_MAX   4096u

/* What the tags say, before anything of it is believed. 0: absent. */
struct tags {
	uint64_t strtab, strsz, symtab, syment, hash, gnu_hash, versym, verdef, verdefnum, verneed,
		verneednum;
	uint64_t rela, relasz, jmprel, pltrelsz, soname, flags;
	bool has_soname;
};

static void read_tag(struct tags *tags, struct dynamic *dynamic, const Elf64_Dyn *dyn, uint64_t address)
{
	uint64_t value = dyn->d_un.d_val;
	switch (dyn->d_tag) {
	case DT_STRTAB:
		tags->strtab = value;
		break;
	case DT_STRSZ:
		tags->strsz = value;
		break;
	case DT_SYMTAB:
		tags->symtab = value;
		break;
	case DT_HASH:
		tags->hash = value;
		break;
	case DT_GNU_HASH:
		tags->gnu_hash = value;
		break;
	case DT_VERSYM:
		tags->versym = value;
		break;
	case DT_VERDEF:
		tags->verdef = value;
		break;
	case DT_VERDEFNUM:
		tags->verdefnum = value;
		break;
	case DT_VERNEED:
		tags->verneed = value;
		break;
	case DT_VERNEEDNUM:
		tags->verneednum = value;
		break;
	case DT_RELA:
		tags->rela = value;
		break;
	case DT_RELASZ:
		tags->relasz = value;
		break;
	case DT_JMPREL:
		tags->jmprel = value;
		break;
	case DT_PLTRELSZ:
		tags->pltrelsz = value;
		break;
	case DT_SONAME:
		tags->soname = value;
		tags->has_soname = true;
		break;
	case DT_SYMBOLIC:
		dynamic->symbolic = true;
		break;
	case DT_FLAGS:
		if (value & DF_SYMBOLIC)
			dynamic->symbolic = true;
		break;
	case DT_DEBUG:
		dynamic->has_debug = true;
		dynamic->debug_address = address + offsetof(Elf64_Dyn, d_un);
		break;
	default:
		break;
	}
}

static const char *string_at(const struct dynamic *dynamic, uint64_t at)
{
	return at < dynamic->string_size ? dynamic->strings + at : NULL;
}

/* The largest index that a chain of a GNU hash table reaches, plus one. */
static size_t gnu_hash_count(struct elf_file *file, uint64_t address)
{
	const uint32_t *head = elf_file_table(file, address, 4, 4, 4);
	if (!head)
		return 0;
	uint64_t n_buckets = head[0], first = head[1], n_bloom = head[2];
	uint64_t buckets_at = address + 16 + 8 * n_bloom;
	const uint32_t *buckets = elf_file_table(file, buckets_at, n_buckets, 4, 4);
	if (!buckets)
		return 0;
	uint64_t last = 0;
	for (uint64_t i = 0; i < n_buckets; i++)
		if (buckets[i] > last)
			last = buckets[i];
	if (last < first)
		return first; /* nothing is exported */
	uint64_t chain = buckets_at + 4 * n_buckets + 4 * (last - first);
	for (;; chain += 4, last++) {
		const uint32_t *hash = elf_file_table(file, chain, 1, 4, 4);
		if (!hash)
			return 0;
		if (*hash & 1)
			return last + 1;
	}
}

/* How many symbols there are stands nowhere for the dynamic linker: the section header says it, or a hash
 * table. */
static size_t count_symbols(struct elf_file *file, const struct tags *tags)
{
	for (size_t i = 0; i < file->n_shdr; i++) {
		const Elf64_Shdr *section = &file->shdr[i];
		if (section->sh_type == SHT_DYNSYM && section->sh_addr == tags->symtab &&
		    section->sh_entsize == sizeof(Elf64_Sym))
			return section->sh_size / sizeof(Elf64_Sym);
	}
	const uint32_t *hash = tags->hash ? elf_file_table(file, tags->hash, 2, 4, 4) : NULL;
	if (hash)
		return hash[1];
	return tags->gnu_hash ? gnu_hash_count(file, tags->gnu_hash) : 0;
}

static void read_symbols(struct elf_file *file, const struct tags *tags, struct dynamic *dynamic)
{
	const char *strings = elf_file_at_address(file, tags->strtab, tags->strsz);
	if (!strings || strings[tags->strsz - 1] != '\0')
		return;
	dynamic->strings = strings;
	dynamic->string_size = tags->strsz;
	size_t n = count_symbols(file, tags);
	if (!n || n > ELF_FILE_MAX / sizeof(Elf64_Sym))
		return;
	dynamic->symbols = elf_file_table(file, tags->symtab, n, sizeof(Elf64_Sym), 8);
	dynamic->n_symbols = dynamic->symbols ? n : 0;
	if (tags->versym && dynamic->symbols)
		dynamic->versym = elf_file_table(file, tags->versym, n, sizeof(uint16_t), 2);
}

static bool version_set(struct dynamic *dynamic, unsigned index, const char *name)
{
	index &= 0x7fff;
	if (index >= dynamic->n_versions) {
		size_t n = index + 16u;
		const char **versions = reallocarray(dynamic->versions, n, sizeof(*versions));
		if (!versions)
			return false;
		memset(versions + dynamic->n_versions, 0, (n - dynamic->n_versions) * sizeof(*versions));
		dynamic->versions = versions;
		dynamic->n_versions = n;
	}
	if (!dynamic->versions[index])
		dynamic->versions[index] = name;
	return true;
}

static bool read_verdef(struct elf_file *file, const struct tags *tags, struct dynamic *dynamic)
{
	uint64_t at = tags->verdef;
	for (uint64_t i = 0; at && i < tags->verdefnum && i < VERSIONS_MAX; i++) {
		const Elf64_Verdef *def = elf_file_table(file, at, 1, sizeof(*def), 4);
		const Elf64_Verdaux *aux =
			def ? elf_file_table(file, at + def->vd_aux, 1, sizeof(*aux), 4) : NULL;
		if (!aux)
			return true;
		/* The base version names the file itself and is no version of a symbol. */
		if (!(def->vd_flags & VER_FLG_BASE) &&
		    !version_set(dynamic, def->vd_ndx, string_at(dynamic, aux->vda_name)))
			return false;
		if (!def->vd_next)
			break;
		at += def->vd_next;
	}
	return true;
}

static bool read_verneed(struct elf_file *file, const struct tags *tags, struct dynamic *dynamic)
{
	uint64_t at = tags->verneed, total = 0;
	for (uint64_t i = 0; at && i < tags->verneednum; i++) {
		const Elf64_Verneed *need = elf_file_table(file, at, 1, sizeof(*need), 4);
		uint64_t aux_at = need ? at + need->vn_aux : 0;
		for (unsigned j = 0; need && j < need->vn_cnt; j++) {
			const Elf64_Vernaux *aux = elf_file_table(file, aux_at, 1, sizeof(*aux), 4);
			if (!aux || ++total > VERSIONS_MAX)
				return true;
			if (!version_set(dynamic, aux->vna_other, string_at(dynamic, aux->vna_name)))
				return false;
			aux_at += aux->vna_next;
			if (!aux->vna_next)
				break;
		}
		if (!need || !need->vn_next || ++total > VERSIONS_MAX)
			break;
		at += need->vn_next;
	}
	return true;
}

static bool is_slot(uint32_t type)
{
	switch (type) {
	case R_X86_64_64:
	case R_X86_64_COPY:
	case R_X86_64_GLOB_DAT:
	case R_X86_64_JUMP_SLOT:
	case R_X86_64_DTPMOD64:
	case R_X86_64_DTPOFF64:
	case R_X86_64_TPOFF64:
	case R_X86_64_TLSDESC:
	case R_X86_64_IRELATIVE:
		return true;
	default:
		return false;
	}
}

static bool add_slots(struct dynamic *dynamic, const Elf64_Rela *rela, size_t n)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++)
		count += is_slot((uint32_t)ELF64_R_TYPE(rela[i].r_info));
	if (!count)
		return true;
	struct slot *slots = reallocarray(dynamic->slots, dynamic->n_slots + count, sizeof(*slots));
	if (!slots)
		return false;
	dynamic->slots = slots;
	for (size_t i = 0; i < n; i++) {
		uint32_t type = (uint32_t)ELF64_R_TYPE(rela[i].r_info);
		if (is_slot(type))
			slots[dynamic->n_slots++] = (struct slot){rela[i].r_offset, rela[i].r_addend, type,
								  (uint32_t)ELF64_R_SYM(rela[i].r_info)};
	}
	return true;
}

static bool read_relocations(struct elf_file *file, const struct tags *tags, struct dynamic *dynamic)
{
	uint64_t n = tags->relasz / sizeof(Elf64_Rela);
	const Elf64_Rela *rela = tags->rela ? elf_file_table(file, tags->rela, n, sizeof(*rela), 8) : NULL;
	if (rela && !add_slots(dynamic, rela, n))
		return false;
	/* Some linkers let DT_RELASZ cover the PLT's relocations too. */
	if (rela && tags->jmprel >= tags->rela && tags->jmprel - tags->rela < n * sizeof(*rela))
		return true;
	n = tags->pltrelsz / sizeof(Elf64_Rela);
	rela = tags->jmprel ? elf_file_table(file, tags->jmprel, n, sizeof(*rela), 8) : NULL;
	return !rela || add_slots(dynamic, rela, n);
}

/* A static executable has no dynamic section, but IRELATIVE relocations that its start-up code applies. */
static bool read_static_relocations(struct elf_file *file, struct dynamic *dynamic)
{
	for (size_t i = 0; i < file->n_shdr; i++) {
		size_t n = 0;
		const Elf64_Shdr *section = &file->shdr[i];
		const Elf64_Rela *rela = section->sh_type == SHT_RELA && (section->sh_flags & SHF_ALLOC)
						 ? elf_file_section_table(file, section, sizeof(*rela), 8, &n)
						 : NULL;
		if (rela && !add_slots(dynamic, rela, n))
			return false;
	}
	return true;
}

static bool add_needed(struct dynamic *dynamic, uint64_t at)
{
	const char *name = string_at(dynamic, at);
	if (!name || dynamic->n_needed >= NEEDED_MAX)
		return true;
	const char **needed = reallocarray(dynamic->needed, dynamic->n_needed + 1, sizeof(*needed));
	if (!needed)
		return false;
	dynamic->needed = needed;
	needed[dynamic->n_needed++] = name;
	return true;
}

static const Elf64_Phdr *find_phdr(const struct elf_file *file, uint32_t type)
{
	for (size_t i = 0; i < file->n_phdr; i++)
		if (file->phdr[i].p_type == type)
			return &file->phdr[i];
	return NULL;
}

static bool dynamic_read(struct elf_file *file, struct dynamic *dynamic)
{
	struct tags tags = {0};
	const Elf64_Phdr *phdr = find_phdr(file, PT_DYNAMIC);
	if (!phdr)
		return read_static_relocations(file, dynamic);
	size_t n = phdr->p_filesz / sizeof(Elf64_Dyn);
	if (n > DYNAMIC_MAX)
		n = DYNAMIC_MAX;
	const Elf64_Dyn *dyn = elf_file_table(file, phdr->p_vaddr, n, sizeof(*dyn), 8);
	if (!dyn)
		return true;
	for (size_t i = 0; i < n && dyn[i].d_tag != DT_NULL; i++)
		read_tag(&tags, dynamic, &dyn[i], phdr->p_vaddr + i * sizeof(*dyn));
	read_symbols(file, &tags, dynamic);
	dynamic->soname = tags.has_soname ? string_at(dynamic, tags.soname) : NULL;
	for (size_t i = 0; i < n && dyn[i].d_tag != DT_NULL; i++)
		if (dyn[i].d_tag == DT_NEEDED && !add_needed(dynamic, dyn[i].d_un.d_val))
			return false;
	return read_verdef(file, &tags, dynamic) && read_verneed(file, &tags, dynamic) &&
	       read_relocations(file, &tags, dynamic);
}

const struct dynamic *module_dynamic(struct module *module)
{
	if (module->dynamic)
		return module->dynamic;
	struct dynamic *dynamic = calloc(1, sizeof(*dynamic));
	if (!dynamic)
		return NULL;
	if (module->elf && !dynamic_read(module->elf, dynamic)) {
		dynamic_destroy(dynamic);
		return NULL;
	}
	module->dynamic = dynamic;
	return dynamic;
}

void dynamic_destroy(struct dynamic *dynamic)
{
	if (!dynamic)
		return;
	free(dynamic->versions);
	free(dynamic->needed);
	free(dynamic->slots);
	free(dynamic);
}

const char *dynamic_symbol_name(const struct dynamic *dynamic, size_t index)
{
	if (index >= dynamic->n_symbols)
		return "";
	const char *name = string_at(dynamic, dynamic->symbols[index].st_name);
	return name ? name : "";
}

const char *dynamic_symbol_version(const struct dynamic *dynamic, size_t index, bool *hidden)
{
	uint16_t version = dynamic->versym && index < dynamic->n_symbols ? dynamic->versym[index] : 1;
	if (hidden)
		*hidden = version & 0x8000;
	version &= 0x7fff;
	return version > 0 && version < dynamic->n_versions ? dynamic->versions[version] : NULL;
}

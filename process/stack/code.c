// SPDX-License-Identifier: MIT
#include "process/stack/code.h"

#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "process/elf/elffile.h"

#define IMAGE_SIZE_MAX (256u << 20)

/* dwarf_begin_elf() decompresses every debug section: not done unless there is something to be had from it.
 */
static bool has_debug_frame(Elf *elf)
{
	size_t names;
	if (elf_getshdrstrndx(elf, &names))
		return false;
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn));) {
		GElf_Shdr shdr;
		const char *name = gelf_getshdr(scn, &shdr) ? elf_strptr(elf, names, shdr.sh_name) : NULL;
		if (name && shdr.sh_type != SHT_NOBITS &&
		    (!strcmp(name, ".debug_frame") || !strcmp(name, ".zdebug_frame")))
			return true;
	}
	return false;
}

/* A file without usable CFI is no error: walks end in it, and say so. */
static void open_cfi(struct stack_object *object, const void *bytes, size_t size)
{
	/* libelf reads through a pointer that is not const; without ELF_C_RDWR it does not write. */
	object->elf = elf_memory((char *)(uintptr_t)bytes, size);
	if (!object->elf)
		return;
	object->eh = dwarf_getcfi_elf(object->elf);
	if (has_debug_frame(object->elf)) {
		object->dwarf = dwarf_begin_elf(object->elf, DWARF_C_READ, NULL);
		object->debug = object->dwarf ? dwarf_getcfi(object->dwarf) : NULL;
	}
}

/* Where an image says its bytes belong, so that its CFI can be asked in its own terms. */
static uint64_t image_link_address(Elf *elf)
{
	size_t n;
	uint64_t lowest = UINT64_MAX;
	if (!elf || elf_getphdrnum(elf, &n))
		return 0;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr phdr;
		if (gelf_getphdr(elf, (int)i, &phdr) && phdr.p_type == PT_LOAD && phdr.p_vaddr < lowest)
			lowest = phdr.p_vaddr - phdr.p_offset % 4096;
	}
	return lowest == UINT64_MAX ? 0 : lowest;
}

static struct usp_error *open_image(const struct target *target, const struct stack_image *image,
				    struct stack_object *object)
{
	if (!image->size || image->size > IMAGE_SIZE_MAX || image->base > UINT64_MAX - image->size)
		return usp_errorf(USP_MISMATCH,
				  "payload image %s of process %d claims %" PRIu64 " bytes at 0x%" PRIx64
				  ": the registry in the target is damaged",
				  image->name, target->pid, image->size, image->base);
	object->image = malloc(image->size);
	if (!object->image)
		return &usp_error_no_memory;
	object->start = image->base;
	object->end = image->base + image->size;
	object->name = image->name;
	int r = target_read(target, image->base, object->image, image->size);
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r,
				       "reading payload image %s at 0x%" PRIx64 " of process %d", image->name,
				       image->base, target->pid);
	object->opened = true;
	open_cfi(object, object->image, image->size);
	object->bias = image->base - image_link_address(object->elf);
	return NULL;
}

static bool load_section(struct elf_file *file, const char *name)
{
	const Elf64_Shdr *section = elf_file_section(file, name);
	return section && section->sh_type != SHT_NOBITS && elf_file_section_bytes(file, section);
}

/* The segment that holds .eh_frame_hdr, and .eh_frame somewhere in it. */
static bool load_segment(struct elf_file *file, const Elf64_Phdr *header)
{
	for (size_t i = 0; i < file->n_phdr; i++) {
		const Elf64_Phdr *load = &file->phdr[i];
		if (load->p_type == PT_LOAD && header->p_offset >= load->p_offset &&
		    header->p_offset - load->p_offset < load->p_filesz)
			return elf_file_at(file, load->p_offset, load->p_filesz);
	}
	return false;
}

/*
 * Of the file what libdw reads for CFI: .eh_frame_hdr, .eh_frame and .debug_frame. The rest, nearly all of a
 * large library, is zero in the copy. CFI that is somewhere else altogether is not found, and walks end there.
 */
static const void *load_frames(struct elf_file *file)
{
	bool has_sections = load_section(file, ".eh_frame") && load_section(file, ".eh_frame_hdr");
	for (size_t i = 0; i < file->n_phdr; i++)
		if (file->phdr[i].p_type == PT_GNU_EH_FRAME && !has_sections &&
		    !load_segment(file, &file->phdr[i]))
			return NULL;
	if (load_section(file, ".debug_frame") || load_section(file, ".zdebug_frame"))
		return elf_file_at(file, 0, file->size); /* libdw looks at every debug section */
	return file->bytes;
}

/* A module whose file cannot be had (or is not what runs) has no CFI for us: walks end there, and say so. */
static void open_module(struct stack_object *object)
{
	struct elf_file *file = object->opened ? NULL : object->module->elf;
	object->opened = true;
	const void *bytes = file ? load_frames(file) : NULL;
	if (bytes)
		open_cfi(object, bytes, file->size);
}

static int compare_objects(const void *a, const void *b)
{
	const struct stack_object *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

struct usp_error *stack_code_open(const struct target *target, const struct modules *modules,
				  const struct stack_image *images, size_t n_images, struct stack_code *ret)
{
	struct stack_code code = {0};
	elf_version(EV_CURRENT);
	code.v = calloc(modules->n + n_images + 1, sizeof(*code.v));
	if (!code.v)
		return &usp_error_no_memory;
	for (size_t i = 0; i < modules->n; i++)
		code.v[code.n++] = (struct stack_object){.start = modules->v[i]->start,
							 .end = modules->v[i]->end,
							 .bias = modules->v[i]->bias,
							 .name = modules->v[i]->name,
							 .module = modules->v[i]};
	code.n_modules = code.n;
	qsort(code.v, code.n, sizeof(*code.v), compare_objects);
	for (size_t i = 0; i < n_images; i++) {
		struct usp_error *error = open_image(target, &images[i], &code.v[code.n++]);
		if (error) {
			stack_code_close(&code);
			return error;
		}
	}
	*ret = code;
	return NULL;
}

void stack_code_prepare(struct stack_code *code)
{
	for (size_t i = 0; i < code->n; i++)
		free(stack_code_row(code, code->v[i].end - 1)); /* without a search table, reads all FDEs */
}

void stack_code_close(struct stack_code *code)
{
	for (size_t i = 0; i < code->n; i++) {
		struct stack_object *object = &code->v[i];
		if (object->eh)
			dwarf_cfi_end(object->eh);
		if (object->dwarf)
			dwarf_end(object->dwarf);
		if (object->elf)
			elf_end(object->elf);
		free(object->image);
	}
	free(code->v);
	*code = (struct stack_code){0};
}

/* Images first: one may lie in a hole between a module's segments. */
static struct stack_object *find_object(struct stack_code *code, uint64_t address)
{
	for (size_t i = code->n_modules; i < code->n; i++)
		if (address >= code->v[i].start && address < code->v[i].end)
			return &code->v[i];
	size_t low = 0, high = code->n_modules;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (address < code->v[middle].start)
			high = middle;
		else if (address >= code->v[middle].end)
			low = middle + 1;
		else
			return &code->v[middle];
	}
	return NULL;
}

Dwarf_Frame *stack_code_row(struct stack_code *code, uint64_t address)
{
	struct stack_object *object = find_object(code, address);
	Dwarf_Frame *frame = NULL;
	if (!object)
		return NULL;
	open_module(object);
	if (object->eh && !dwarf_cfi_addrframe(object->eh, address - object->bias, &frame))
		return frame;
	if (object->debug && !dwarf_cfi_addrframe(object->debug, address - object->bias, &frame))
		return frame;
	return NULL;
}

static const char *image_symbol(const struct stack_object *object, uint64_t address, uint64_t *offset)
{
	for (Elf_Scn *scn = NULL; object->elf && (scn = elf_nextscn(object->elf, scn));) {
		GElf_Shdr shdr;
		Elf_Data *data;
		if (!gelf_getshdr(scn, &shdr) || (shdr.sh_type != SHT_SYMTAB && shdr.sh_type != SHT_DYNSYM) ||
		    !shdr.sh_entsize || !(data = elf_getdata(scn, NULL)))
			continue;
		for (size_t i = 0; i < shdr.sh_size / shdr.sh_entsize; i++) {
			GElf_Sym symbol;
			if (!gelf_getsym(data, (int)i, &symbol) || GELF_ST_TYPE(symbol.st_info) != STT_FUNC ||
			    symbol.st_shndx == SHN_UNDEF || address - symbol.st_value >= symbol.st_size)
				continue;
			*offset = address - symbol.st_value;
			return elf_strptr(object->elf, shdr.sh_link, symbol.st_name);
		}
	}
	return NULL;
}

void stack_code_describe(struct stack_code *code, uint64_t pc, bool exact, char *buf, size_t size)
{
	uint64_t in_call = exact ? pc : pc - 1;
	struct stack_object *object = find_object(code, in_call);
	struct symbol symbol;
	const char *name = NULL;
	uint64_t offset = 0;
	if (!object) {
		snprintf(buf, size, "?? (in no module: generated code, or the address is wrong)");
		return;
	}
	if (!object->module)
		name = image_symbol(object, in_call - object->bias, &offset);
	else if (symbol_at(object->module, in_call, &symbol)) {
		name = symbol.name;
		offset = in_call - symbol.address;
	}
	offset += pc - in_call;
	if (!name || !*name)
		snprintf(buf, size, "?? (%s%s+0x%" PRIx64 ")", object->module ? "" : "payload ", object->name,
			 pc - object->bias);
	else
		snprintf(buf, size, "%s+0x%" PRIx64 " (%s%s)", name, offset, object->module ? "" : "payload ",
			 object->name);
}

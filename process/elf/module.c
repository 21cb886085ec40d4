// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/elf/module_new.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "process/elf/dynamic.h"
#include "process/elf/symbols.h"

#define PAGE	       UINT64_C(4096)
#define NOTES_MAX      65536u
#define DELETED_SUFFIX " (deleted)"

const Elf64_Phdr *phdr_lowest_load(const Elf64_Phdr *phdr, size_t n)
{
	const Elf64_Phdr *lowest = NULL;
	for (size_t i = 0; i < n; i++)
		if (phdr[i].p_type == PT_LOAD && phdr[i].p_memsz &&
		    (!lowest || phdr[i].p_vaddr < lowest->p_vaddr))
			lowest = &phdr[i];
	return lowest;
}

/* The name as the target knew it. A file may truly be called "x (deleted)": who opened it by name clears
 * `deleted`. */
static int set_path(struct module *module, const char *path)
{
	size_t n = strlen(path), suffix = strlen(DELETED_SUFFIX);
	if (module->target && n > suffix && strcmp(path + n - suffix, DELETED_SUFFIX) == 0) {
		module->deleted = true;
		n -= suffix;
	}
	char *copy = strndup(path, n);
	if (!copy)
		return -ENOMEM;
	module->path = copy;
	module->name = basename(copy);
	return 0;
}

static int set_extent(struct module *module, uint64_t bias)
{
	const Elf64_Phdr *lowest = phdr_lowest_load(module->phdr, module->n_phdr);
	if (!lowest)
		return -ENOEXEC;
	uint64_t end = 0;
	for (size_t i = 0; i < module->n_phdr; i++) {
		const Elf64_Phdr *phdr = &module->phdr[i];
		if (phdr->p_type == PT_LOAD && phdr->p_vaddr + phdr->p_memsz > end)
			end = phdr->p_vaddr + phdr->p_memsz;
	}
	/* The bias may be "negative" (prelinked above); then the sums wrap around to the right addresses. */
	module->bias = bias;
	module->start = (lowest->p_vaddr & ~(PAGE - 1)) + bias;
	module->end = ((end + PAGE - 1) & ~(PAGE - 1)) + bias;
	return module->start < module->end ? 0 : -ENOEXEC;
}

int module_new(const struct target *target, struct elf_file *elf, const char *path, uint64_t bias,
	       struct module **ret)
{
	struct module *module = calloc(1, sizeof(*module));
	if (!module) {
		elf_file_close(elf);
		return -ENOMEM;
	}
	module->target = target;
	module->elf = elf;
	module->fd = elf->fd;
	module->file_size = elf->size;
	module->ehdr = elf->ehdr;
	module->phdr = elf->phdr;
	module->n_phdr = elf->n_phdr;
	module->shdr = elf->shdr;
	module->n_shdr = elf->n_shdr;
	int r = set_path(module, path);
	if (r == 0)
		r = set_extent(module, bias);
	if (r < 0) {
		module_close(module);
		return r;
	}
	module->build_id_size = elf_file_build_id(elf, module->build_id, sizeof(module->build_id));
	*ret = module;
	return 0;
}

int module_set_unusable(struct module *module, const char *why)
{
	module->unusable = strdup(why);
	if (!module->unusable)
		return -ENOMEM;
	symbol_table_destroy(module->symbols);
	dynamic_destroy(module->dynamic);
	elf_file_close(module->elf);
	module->symbols = NULL;
	module->dynamic = NULL;
	module->elf = NULL;
	module->fd = -1;
	module->file = NULL;
	module->file_size = 0;
	module->phdr = NULL;
	module->n_phdr = 0;
	module->shdr = NULL;
	module->n_shdr = 0;
	module->build_id_size = 0;
	return 0;
}

void module_close(struct module *module)
{
	if (!module)
		return;
	symbol_table_destroy(module->symbols);
	dynamic_destroy(module->dynamic);
	elf_file_close(module->elf);
	free(module->unusable);
	free((char *)module->path);
	free(module);
}

struct usp_error *module_open_file(const char *path, struct module **ret)
{
	struct elf_file *elf;
	/* O_NONBLOCK: what is no regular file is refused, not waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot open %s", path);
	int r = elf_file_open(fd, &elf);
	if (r == 0)
		r = module_new(NULL, elf, path, 0, ret);
	if (r == -ENOEXEC)
		return usp_errorf(USP_UNSUPPORTED,
				  "%s is not a sound x86-64 ELF executable or shared library: give the "
				  "linked file that runs",
				  path);
	if (r == -EINVAL)
		return usp_errorf(USP_UNSUPPORTED, "%s is not a regular file", path);
	return r < 0 ? usp_error_errno(USP_FAILED, -r, "cannot read %s", path) : NULL;
}

struct usp_error *module_load(struct module *module)
{
	if (module->file)
		return NULL;
	if (!module->elf)
		return usp_errorf(USP_MISMATCH, "the file of %s is not used: %s", module->path,
				  module->unusable);
	module->file = elf_file_at(module->elf, 0, module->elf->size);
	return module->file ? NULL
			    : usp_errorf(USP_FAILED,
					 "cannot read %s: it became shorter meanwhile or the disk failed",
					 module->path);
}

int module_read_file(const struct module *module, uint64_t link_address, void *buf, size_t n)
{
	for (size_t i = 0; module->elf && i < module->n_phdr; i++) {
		const Elf64_Phdr *phdr = &module->phdr[i];
		if (phdr->p_type != PT_LOAD || link_address < phdr->p_vaddr ||
		    link_address - phdr->p_vaddr >= phdr->p_memsz)
			continue;
		uint64_t into = link_address - phdr->p_vaddr;
		if (n > phdr->p_memsz - into)
			return -EFAULT;
		uint64_t in_file = into < phdr->p_filesz ? phdr->p_filesz - into : 0;
		if (in_file > n)
			in_file = n;
		const void *bytes = in_file ? elf_file_at(module->elf, phdr->p_offset + into, in_file) : NULL;
		if (in_file && !bytes)
			return -EFAULT;
		if (in_file)
			memcpy(buf, bytes, in_file);
		memset((char *)buf + in_file, 0, n - in_file);
		return 0;
	}
	return n ? -EFAULT : 0;
}

static size_t memory_build_id(const struct module *module, uint8_t *build_id, size_t max)
{
	for (size_t i = 0; i < module->n_phdr; i++) {
		const Elf64_Phdr *phdr = &module->phdr[i];
		if (phdr->p_type != PT_NOTE || !phdr->p_filesz || phdr->p_filesz > NOTES_MAX)
			continue;
		_cleanup_free_ uint8_t *notes = malloc(phdr->p_filesz);
		if (!notes ||
		    target_read(module->target, phdr->p_vaddr + module->bias, notes, phdr->p_filesz) < 0)
			continue;
		size_t size = elf_note_build_id(notes, phdr->p_filesz, phdr->p_align, build_id, max);
		if (size)
			return size;
	}
	return 0;
}

/* Without a build-id, the program headers are the best that can be compared. */
static bool same_headers(const struct module *module)
{
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[512]; /* elffile.c's limit */
	for (size_t i = 0; i < module->n_phdr; i++) {
		const Elf64_Phdr *load = &module->phdr[i];
		size_t size = module->n_phdr * sizeof(*phdr);
		if (load->p_type != PT_LOAD || load->p_offset != 0 || size > sizeof(phdr) ||
		    load->p_filesz < module->ehdr.e_phoff || load->p_filesz - module->ehdr.e_phoff < size)
			continue;
		uint64_t at = load->p_vaddr + module->bias;
		return target_read(module->target, at, &ehdr, sizeof(ehdr)) == 0 &&
		       memcmp(&ehdr, &module->ehdr, sizeof(ehdr)) == 0 &&
		       target_read(module->target, at + module->ehdr.e_phoff, phdr, size) == 0 &&
		       memcmp(phdr, module->phdr, size) == 0;
	}
	return false;
}

bool module_same_in_memory(const struct module *module)
{
	if (!module->target || !module->phdr)
		return false;
	if (!module->build_id_size)
		return same_headers(module);
	uint8_t build_id[BUILD_ID_MAX];
	size_t size = memory_build_id(module, build_id, sizeof(build_id));
	return size == module->build_id_size && memcmp(build_id, module->build_id, size) == 0;
}

void modules_close(struct modules *modules)
{
	if (!modules)
		return;
	for (size_t i = 0; i < modules->n; i++)
		module_close(modules->v[i]);
	free(modules->v);
	free(modules);
}

struct module *modules_find_build_id(const struct modules *modules, const uint8_t *build_id, size_t size)
{
	struct module *found = NULL;
	for (size_t i = 0; size && i < modules->n; i++) {
		struct module *module = modules->v[i];
		if (module->build_id_size != size || memcmp(module->build_id, build_id, size) != 0)
			continue;
		if (found)
			return NULL;
		found = module;
	}
	return found;
}

struct module *modules_find_address(const struct modules *modules, uint64_t address)
{
	for (size_t i = 0; i < modules->n; i++)
		if (address >= modules->v[i]->start && address < modules->v[i]->end)
			return modules->v[i];
	return NULL;
}

bool module_is_program(const struct module *module)
{
	for (size_t i = 0; i < module->n_phdr; i++)
		if (module->phdr[i].p_type == PT_INTERP)
			return true;
	return module->ehdr.e_type == ET_EXEC;
}

void build_id_format(const uint8_t *build_id, size_t size, char *buf)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < size; i++) {
		*buf++ = digits[build_id[i] >> 4];
		*buf++ = digits[build_id[i] & 15];
	}
	*buf = '\0';
}

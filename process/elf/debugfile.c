// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/elf/debugfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "process/elf/rootfile.h"

struct search {
	struct module *module;
	int roots[2]; /* the target's, ours */
	size_t n_roots;
	struct elf_file *found;
	char *where; /* names tried so far */
	int error;
};

/* The usual reflected CRC-32, polynomial 0xedb88320, over the whole file. */
static int file_crc(struct elf_file *file, uint32_t *ret)
{
	uint32_t table[256], crc = UINT32_MAX;
	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
	}
	const uint8_t *bytes = elf_file_at(file, 0, file->size);
	if (!bytes)
		return -EIO;
	for (size_t i = 0; i < file->size; i++)
		crc = table[(crc ^ bytes[i]) & 255] ^ crc >> 8;
	*ret = ~crc;
	return 0;
}

static bool has_symtab(const struct elf_file *file)
{
	for (size_t i = 0; i < file->n_shdr; i++)
		if (file->shdr[i].sh_type == SHT_SYMTAB)
			return true;
	return false;
}

/* A build-id on both sides decides; without one, only the checksum of the link can. */
static bool belongs(const struct module *module, struct elf_file *file, const uint32_t *link_crc)
{
	uint8_t build_id[BUILD_ID_MAX];
	uint32_t crc;
	size_t size = elf_file_build_id(file, build_id, sizeof(build_id));
	if (size && module->build_id_size)
		return size == module->build_id_size && memcmp(build_id, module->build_id, size) == 0;
	return link_crc && file_crc(file, &crc) == 0 && crc == *link_crc;
}

__attribute__((format(printf, 3, 4))) static void try_name(struct search *search, const uint32_t *link_crc,
							   const char *format, ...)
{
	_cleanup_free_ char *name = NULL;
	va_list ap;
	va_start(ap, format);
	if (vasprintf(&name, format, ap) < 0)
		name = NULL;
	va_end(ap);
	if (!name) {
		search->error = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < search->n_roots && !search->found && !search->error; i++) {
		struct stat st;
		struct elf_file *file;
		int fd = search->roots[i] < 0 ? -EBADF : rootfile_open(search->roots[i], name, &st);
		if (fd < 0 || elf_file_open(fd, &file) < 0)
			continue;
		if (has_symtab(file) && belongs(search->module, file, link_crc))
			search->found = file;
		else
			elf_file_close(file);
	}
	char *where;
	if (search->found)
		where = strdup(name);
	else if (asprintf(&where, "%s%s%s", search->where ? search->where : "", search->where ? ", " : "",
			  name) < 0)
		where = NULL;
	free(search->where);
	search->where = where;
	if (!where)
		search->error = -ENOMEM;
}

static void try_build_id(struct search *search)
{
	char hex[2 * BUILD_ID_MAX + 1];
	const struct module *module = search->module;
	if (module->build_id_size < 2)
		return;
	build_id_format(module->build_id, module->build_id_size, hex);
	try_name(search, NULL, "/usr/lib/debug/.build-id/%.2s/%s.debug", hex, hex + 2);
}

/* NAME, NUL, padding to four bytes, CRC. A name with a directory in it is not one. */
static const char *debug_link(struct elf_file *file, uint32_t *crc)
{
	const Elf64_Shdr *section = elf_file_section(file, ".gnu_debuglink");
	const char *name = section ? elf_file_section_bytes(file, section) : NULL;
	if (!name)
		return NULL;
	uint64_t length = strnlen(name, section->sh_size);
	uint64_t at = (length + 4) & ~UINT64_C(3);
	if (!length || length == section->sh_size || at > section->sh_size || section->sh_size - at < 4 ||
	    length > NAME_MAX || memchr(name, '/', length))
		return NULL;
	memcpy(crc, name + at, 4);
	return name;
}

static void try_debug_link(struct search *search)
{
	uint32_t crc;
	const char *link = debug_link(search->module->elf, &crc);
	if (!link)
		return;
	_cleanup_free_ char *path =
		search->module->target ? strdup(search->module->path) : realpath(search->module->path, NULL);
	char *slash = path ? strrchr(path, '/') : NULL;
	if (!slash)
		return;
	*slash = '\0';
	try_name(search, &crc, "%s/%s", path, link);
	if (!search->found && !search->error)
		try_name(search, &crc, "%s/.debug/%s", path, link);
	if (!search->found && !search->error)
		try_name(search, &crc, "/usr/lib/debug%s/%s", path, link);
}

int debugfile_open(struct module *module, struct elf_file **ret, char **where)
{
	struct search search = {.module = module};
	if (module->target)
		search.roots[search.n_roots++] =
			openat(module->target->procfd, "root", O_PATH | O_CLOEXEC | O_DIRECTORY);
	search.roots[search.n_roots++] = open("/", O_PATH | O_CLOEXEC | O_DIRECTORY);
	try_build_id(&search);
	if (!search.found && !search.error)
		try_debug_link(&search);
	for (size_t i = 0; i < search.n_roots; i++)
		if (search.roots[i] >= 0)
			close(search.roots[i]);
	if (search.error) {
		elf_file_close(search.found);
		free(search.where);
		return search.error;
	}
	*ret = search.found;
	*where = search.where;
	return 0;
}

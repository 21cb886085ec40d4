// SPDX-License-Identifier: MIT
/*
 * Finding the modules of a target: every file that is mapped executable, if it is an ELF file and lies as
 * one, and the vdso. In the order of the steps:
 *
 * 1. the file of each (device, inode) with an executable mapping is opened, by map_files or by name inside
 * the root;
 * 2. its lowest segment gives a bias for each mapping that could be it; the other segments must agree;
 * 3. the build-id (or the program headers) in memory must be the file's, else the file is not used;
 * 4. the executable is who the auxiliary vector says, unless the link map knows better (a program run as
 * ld.so's argument).
 */
#define _GNU_SOURCE
#include "process/elf/module_new.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "process/elf/rootfile.h"

#define PAGE	    UINT64_C(4096)
#define MODULES_MAX 65536u
#define VDSO_MAX    (UINT64_C(64) << 10)

struct finder {
	const struct target *target;
	const struct maps *maps;
	struct modules *modules;
	int target_root, own_root;
	uint64_t entry, phdr, vdso; /* from the auxiliary vector, 0: unknown */
};

static bool same_file(const struct mapping *a, const struct mapping *b)
{
	return a->inode == b->inode && a->device == b->device;
}

static int modules_add(struct modules *modules, struct module *module)
{
	if (modules->n >= MODULES_MAX)
		return -E2BIG;
	struct module **v = reallocarray(modules->v, modules->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	modules->v = v;
	v[modules->n++] = module;
	return 0;
}

/* The auxiliary vector; a target without one (it is exiting) has no executable and no vdso. */
static void read_auxv(struct finder *finder)
{
	Elf64_auxv_t auxv[128];
	_cleanup_close_ int fd = openat(finder->target->procfd, "auxv", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, auxv, sizeof(auxv));
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(*auxv) && auxv[i].a_type != AT_NULL; i++) {
		if (auxv[i].a_type == AT_ENTRY)
			finder->entry = auxv[i].a_un.a_val;
		else if (auxv[i].a_type == AT_PHDR)
			finder->phdr = auxv[i].a_un.a_val;
		else if (auxv[i].a_type == AT_SYSINFO_EHDR)
			finder->vdso = auxv[i].a_un.a_val;
	}
}

/* How a file was found, which says how far it can be believed to be the mapped one. */
enum trust {
	TRUST_MAPPED, /* through map_files, or by name with the mapping's device and inode */
	TRUST_NAME,   /* by name with the same inode only: device numbers of btrfs and overlayfs differ */
};

static int open_by_name(struct finder *finder, const struct mapping *mapping, const char *name,
			enum trust *trust)
{
	const int roots[] = {finder->target_root, finder->own_root};
	/* The kernel shows names as seen from *our* root where it can, else from the mount's own. */
	for (size_t i = 0; i < 2; i++) {
		struct stat st;
		int fd = roots[i] < 0 ? -EBADF : rootfile_open(roots[i], name, &st);
		if (fd < 0)
			continue;
		if (st.st_ino == mapping->inode) {
			*trust = st.st_dev == mapping->device ? TRUST_MAPPED : TRUST_NAME;
			return fd;
		}
		close(fd);
	}
	return -ENOENT;
}

static int open_mapped(struct finder *finder, const struct mapping *mapping, enum trust *trust)
{
	char name[64];
	struct stat st;
	snprintf(name, sizeof(name), "map_files/%lx-%lx", mapping->start, mapping->end);
	int fd = rootfile_open_magic(finder->target->procfd, name, &st);
	if (fd >= 0 && st.st_ino != mapping->inode) {
		close(fd); /* the mapping is another one by now */
		fd = -ENOENT;
	}
	*trust = TRUST_MAPPED;
	return fd >= 0 || fd == -EINVAL ? fd : open_by_name(finder, mapping, mapping->name, trust);
}

/* This page of the file, or, for code, an anonymous one: some programs move their text to huge pages. */
static bool page_fits(const struct mapping *m, const struct mapping *file, const Elf64_Phdr *phdr,
		      uint64_t at, uint64_t file_offset)
{
	if (!m->inode)
		return (phdr->p_flags & PF_X) && (m->prot & PROT_EXEC);
	return same_file(m, file) && m->offset + (at - m->start) == file_offset;
}

/* Whether all pages of a segment that come from the file lie where this bias puts them. */
static bool segment_is_mapped(const struct finder *finder, const struct mapping *file, const Elf64_Phdr *phdr,
			      uint64_t bias)
{
	uint64_t start = (phdr->p_vaddr & ~(PAGE - 1)) + bias;
	uint64_t end = phdr->p_vaddr + phdr->p_filesz + bias;
	bool executable = false;
	if (!phdr->p_filesz)
		return true;
	if (start >= end)
		return false;
	for (uint64_t at = start; at < end;) {
		const struct mapping *m = maps_find(finder->maps, at);
		if (!m || !page_fits(m, file, phdr, at, (phdr->p_offset & ~(PAGE - 1)) + (at - start)))
			return false;
		executable = executable || (m->prot & PROT_EXEC);
		at = m->end;
	}
	return executable || !(phdr->p_flags & PF_X);
}

static bool lies_at(const struct finder *finder, const struct elf_file *elf, const struct mapping *file,
		    uint64_t bias)
{
	if (elf->ehdr.e_type == ET_EXEC && bias)
		return false;
	for (size_t i = 0; i < elf->n_phdr; i++) {
		const Elf64_Phdr *phdr = &elf->phdr[i];
		if (phdr->p_type == PT_LOAD && phdr->p_memsz && !segment_is_mapped(finder, file, phdr, bias))
			return false;
	}
	return true;
}

/* `deleted` as the name's end says it, unless a file of just that name is the mapped one. */
static void check_deleted(struct finder *finder, struct module *module, const struct mapping *mapping)
{
	enum trust trust;
	int fd = module->deleted ? open_by_name(finder, mapping, mapping->name, &trust) : -1;
	if (fd < 0)
		return;
	close(fd);
	char *path = strdup(mapping->name);
	if (!path)
		return;
	free((char *)module->path);
	module->path = path;
	module->name = basename(path);
	module->deleted = false;
}

static int check_file(struct module *module, enum trust trust)
{
	if (trust == TRUST_NAME && !module->build_id_size)
		return module_set_unusable(
			module, "it has no build-id, and its device is not the one that is mapped; "
				"run as root, so that /proc/PID/map_files can be opened");
	if (!module_same_in_memory(module))
		return module_set_unusable(module, module->build_id_size
							   ? "its build-id is not the one in the target's "
							     "memory: the file is not what runs"
							   : "its program headers are not the ones in the "
							     "target's memory: the file is not what runs");
	return 0;
}

/* A second reader of the same file, for a module of its own. */
static int reopen(const struct elf_file *elf, struct elf_file **ret)
{
	int fd = fcntl(elf->fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : elf_file_open(fd, ret);
}

static int add_instance(struct finder *finder, const struct mapping *mapping, struct elf_file *elf,
			uint64_t bias, enum trust trust)
{
	struct module *module;
	int r = module_new(finder->target, elf, mapping->name, bias, &module);
	if (r < 0)
		return r;
	check_deleted(finder, module, mapping);
	r = check_file(module, trust);
	if (r == 0)
		r = modules_add(finder->modules, module);
	if (r < 0)
		module_close(module);
	return r;
}

/* Every place where elf lies; taken. */
static int add_instances(struct finder *finder, const struct mapping *file, struct elf_file *elf,
			 enum trust trust)
{
	const Elf64_Phdr *lowest = phdr_lowest_load(elf->phdr, elf->n_phdr);
	uint64_t offset = lowest ? lowest->p_offset & ~(PAGE - 1) : 0;
	uint64_t address = lowest ? lowest->p_vaddr & ~(PAGE - 1) : 0;
	const struct mapping *found = NULL;
	int r = 0;
	/* The last one takes elf itself, so that the usual single one costs one reading. */
	for (size_t i = 0; r == 0 && lowest && i < finder->maps->n; i++) {
		const struct mapping *m = &finder->maps->v[i];
		if (!same_file(m, file) || m->offset != offset ||
		    !lies_at(finder, elf, file, m->start - address))
			continue;
		struct elf_file *own;
		if (found && (r = reopen(elf, &own)) == 0)
			r = add_instance(finder, found, own, found->start - address, trust);
		found = m;
	}
	if (r == 0 && found)
		return add_instance(finder, found, elf, found->start - address, trust);
	elf_file_close(elf);
	return r;
}

/* The file cannot be opened: all that is known is that something lies there. */
static int add_unopened(struct finder *finder, size_t first, int error)
{
	const struct mapping *file = &finder->maps->v[first];
	struct module *module = calloc(1, sizeof(*module));
	char why[160];
	snprintf(why, sizeof(why), "it cannot be opened (%s)", strerror(-error));
	if (!module)
		return -ENOMEM;
	module->target = finder->target;
	module->fd = -1;
	module->path = strdup(file->name);
	const char *slash = module->path ? strrchr(module->path, '/') : NULL;
	module->name = slash ? slash + 1 : module->path;
	/* As far as its mappings follow each other: what lies beyond somebody else's is another instance. */
	size_t last = first;
	while (first > 0 && same_file(&finder->maps->v[first - 1], file))
		first--;
	while (last + 1 < finder->maps->n && same_file(&finder->maps->v[last + 1], file))
		last++;
	module->start = finder->maps->v[first].start;
	module->end = finder->maps->v[last].end;
	int r = module->path ? module_set_unusable(module, why) : -ENOMEM;
	if (r == 0)
		r = modules_add(finder->modules, module);
	if (r < 0)
		module_close(module);
	return r;
}

static bool seen_before(const struct maps *maps, size_t index)
{
	for (size_t i = index; i-- > 0;)
		if ((maps->v[i].prot & PROT_EXEC) && maps->v[i].inode &&
		    same_file(&maps->v[i], &maps->v[index]))
			return true;
	return false;
}

/* usplice's own memory in the target (registry, remote area) is no module of it. */
static bool is_usplice(const struct mapping *mapping)
{
	return strncmp(mapping->name, "/memfd:usplice", 14) == 0;
}

static int add_files(struct finder *finder)
{
	for (size_t i = 0; i < finder->maps->n; i++) {
		const struct mapping *m = &finder->maps->v[i];
		enum trust trust;
		struct elf_file *elf;
		if (!m->inode || !(m->prot & PROT_EXEC) || is_usplice(m) || seen_before(finder->maps, i))
			continue;
		int fd = open_mapped(finder, m, &trust);
		int r = fd;
		if (fd >= 0)
			r = elf_file_open(fd, &elf);
		if (fd >= 0 && r == 0)
			r = add_instances(finder, m, elf, trust);
		else if (r == -ENOEXEC || r == -EINVAL)
			r = 0; /* no ELF file */
		else if (r != -ENOMEM)
			r = add_unopened(finder, i, r);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_vdso(struct finder *finder)
{
	const struct mapping *m = finder->vdso ? maps_find(finder->maps, finder->vdso) : NULL;
	if (!m || m->start != finder->vdso || m->end - m->start > VDSO_MAX || m->inode)
		return 0;
	size_t size = m->end - m->start;
	_cleanup_free_ uint8_t *bytes = malloc(size);
	struct elf_file *elf;
	struct module *module;
	if (!bytes)
		return -ENOMEM;
	if (target_read(finder->target, m->start, bytes, size) < 0 ||
	    elf_file_from_memory(bytes, size, &elf) < 0)
		return 0;
	const Elf64_Phdr *lowest = phdr_lowest_load(elf->phdr, elf->n_phdr);
	uint64_t bias = lowest ? m->start - (lowest->p_vaddr & ~(PAGE - 1)) : 0;
	int r = module_new(finder->target, elf, *m->name ? m->name : "[vdso]", bias, &module);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	if (module->end > m->end)
		r = module_set_unusable(module, "its headers say more than is mapped");
	if (r == 0)
		r = modules_add(finder->modules, module);
	if (r < 0)
		module_close(module);
	return r;
}

static int by_address(const void *a, const void *b)
{
	const struct module *x = *(struct module *const *)a, *y = *(struct module *const *)b;
	return x->start < y->start ? -1 : x->start > y->start;
}

/* Who the kernel started; n when that cannot be said. */
static size_t find_main(const struct finder *finder)
{
	const struct modules *modules = finder->modules;
	for (size_t i = 0; i < modules->n; i++) {
		const struct module *m = modules->v[i];
		if (finder->entry && finder->phdr >= m->start && finder->phdr < m->end && m->elf &&
		    m->ehdr.e_entry + m->bias == finder->entry)
			return i;
	}
	return modules->n;
}

static int find_all(struct finder *finder)
{
	finder->modules = calloc(1, sizeof(*finder->modules));
	if (!finder->modules)
		return -ENOMEM;
	finder->modules->target = finder->target;
	read_auxv(finder);
	int r = add_files(finder);
	if (r == 0)
		r = add_vdso(finder);
	if (r < 0)
		return r;
	if (finder->modules->n)
		qsort(finder->modules->v, finder->modules->n, sizeof(*finder->modules->v), by_address);
	return modules_order(finder->modules, find_main(finder));
}

struct usp_error *modules_open(const struct target *target, const struct maps *maps, struct modules **ret)
{
	struct finder finder = {.target = target, .maps = maps};
	finder.target_root = openat(target->procfd, "root", O_PATH | O_CLOEXEC | O_DIRECTORY);
	finder.own_root = open("/", O_PATH | O_CLOEXEC | O_DIRECTORY);
	int r = find_all(&finder);
	if (finder.target_root >= 0)
		close(finder.target_root);
	if (finder.own_root >= 0)
		close(finder.own_root);
	if (r < 0) {
		modules_close(finder.modules);
		return r == -ENOMEM
			       ? &usp_error_no_memory
			       : usp_error_errno(USP_FAILED, -r, "cannot find the ELF files of process %d",
						 (int)target->pid);
	}
	*ret = finder.modules;
	return NULL;
}

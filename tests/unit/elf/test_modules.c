// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "helper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "process/elf/elffile.h"
#include "process/elf/module_new.h"

/* What must hold of any module of a live victim. */
static void check_module(const struct victim *victim, struct module *module)
{
	assert_null(module->unusable);
	assert_non_null(module->elf);
	assert_true(module->start < module->end);
	assert_non_null(maps_find(&victim->maps, module->start));
	for (size_t i = 0; i < module->n_phdr; i++) {
		const Elf64_Phdr *phdr = &module->phdr[i];
		if (phdr->p_type != PT_LOAD || (phdr->p_flags & PF_W) || !phdr->p_filesz)
			continue;
		/* Read-only segments: memory is the file at this bias. */
		uint8_t *memory = malloc(phdr->p_filesz), *file = malloc(phdr->p_filesz);
		assert_int_equal(
			target_read(&victim->target, phdr->p_vaddr + module->bias, memory, phdr->p_filesz),
			0);
		assert_int_equal(module_read_file(module, phdr->p_vaddr, file, phdr->p_filesz), 0);
		assert_memory_equal(memory, file, phdr->p_filesz);
		free(memory);
		free(file);
	}
}

static void check_form(const char *name, bool linked)
{
	struct victim victim;
	victim_start(&victim, victim_path(name), NULL);
	struct modules *modules = victim.modules;
	struct module *main_module = modules->v[0];
	assert_true(main_module->is_main);
	assert_string_equal(main_module->name, name);
	assert_false(main_module->deleted);
	assert_ptr_equal(modules_find_address(modules, victim_says(&victim, "main")), main_module);
	for (size_t i = 0; i < modules->n; i++) {
		check_module(&victim, modules->v[i]);
		assert_int_equal(i == 0, modules->v[i]->is_main);
	}
	struct module *vdso = victim_module(&victim, "[vdso]");
	assert_int_equal(vdso->fd, -1);
	assert_int_equal(linked, modules->n_linked > 1);
	if (main_module->build_id_size) {
		assert_int_equal(main_module->build_id_size, 20);
		assert_ptr_equal(modules_find_build_id(modules, main_module->build_id, 20), main_module);
		main_module->build_id[3] ^= 1;
		assert_false(module_same_in_memory(main_module));
		main_module->build_id[3] ^= 1;
	}
	assert_true(module_same_in_memory(main_module));
	ok(module_load(main_module));
	assert_memory_equal(main_module->file, ELFMAG, SELFMAG);
	if (modules->n_linked > 3) {
		/* As ldd says: the library, libc, the dynamic linker. */
		assert_string_equal(modules->v[1]->name, "[vdso]");
		assert_string_equal(modules->v[2]->name, "libvictim.so");
		assert_string_equal(modules->v[3]->name, "libc.so.6");
		assert_true(modules->n_linked == modules->n);
	}
	assert_null(modules_find_build_id(modules, main_module->build_id, 0));
	assert_null(modules_find_address(modules, 0));
	victim_stop(&victim);
}

static void test_pie(void **state)
{
	(void)state;
	check_form("elf_pie", true);
}
static void test_nopie(void **state)
{
	(void)state;
	check_form("elf_nopie", true);
}
static void test_now(void **state)
{
	(void)state;
	check_form("elf_now", true);
}
static void test_clang(void **state)
{
	(void)state;
	check_form("elf_clang", true);
}
static void test_static(void **state)
{
	(void)state;
	check_form("elf_static", false);
}
static void test_static_pie(void **state)
{
	(void)state;
	check_form("elf_static_pie", true);
}
static void test_musl(void **state)
{
	(void)state;
	check_form("elf_musl", true);
}
static void test_musl_static(void **state)
{
	(void)state;
	check_form("elf_musl_static", false);
}

/* No build-id: the program headers in memory are compared. */
static void test_no_build_id(void **state)
{
	struct victim victim;
	(void)state;
	victim_start(&victim, victim_path("elf_noid"), NULL);
	assert_int_equal(victim.modules->v[0]->build_id_size, 0);
	check_module(&victim, victim.modules->v[0]);
	assert_true(module_same_in_memory(victim.modules->v[0]));
	victim_stop(&victim);
}

static void test_deleted_and_replaced(void **state)
{
	struct victim victim;
	(void)state;
	const char *directory = make_directory();
	char path[128], odd[160];
	snprintf(path, sizeof(path), "%s/v (deleted)", directory);
	run("cp '%s' '%s'", victim_path("elf_static"), path);
	victim_start(&victim, path, NULL);
	/* A file that is truly called so. */
	assert_string_equal(victim.modules->v[0]->name, "v (deleted)");
	assert_false(victim.modules->v[0]->deleted);
	/* Another file by the same name, then none. */
	snprintf(odd, sizeof(odd), "%s.new", path);
	run("cp '%s' '%s' && mv '%s' '%s'", victim_path("elf_musl_static"), odd, odd, path);
	victim_reopen(&victim);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(victim.modules->v[0]->name, "v (deleted)");
		assert_true(victim.modules->v[0]->deleted);
		check_module(&victim, victim.modules->v[0]);
		unlink(path);
		victim_reopen(&victim);
	}
	victim_stop(&victim);
	rmdir(directory);
}

/* A library that becomes shorter under its users; bound at once, or a victim that binds lazily would die of
 * it. */
static void test_truncated(void **state)
{
	struct victim victim;
	char path[128], lib[128];
	(void)state;
	const char *directory = make_directory();
	snprintf(path, sizeof(path), "%s/elf_now", directory);
	snprintf(lib, sizeof(lib), "%s/libvictim.so", directory);
	run("cp '%s' %s", victim_path("elf_now"), path);
	run("cp '%s' %s", victim_path("libvictim.so"), lib);
	victim_start(&victim, path, NULL);
	struct module *module = victim_module(&victim, "libvictim.so");
	struct symbol symbol;
	assert_null(module->unusable);
	assert_int_equal(truncate(lib, 5000), 0);
	/* What was not read yet cannot be read: an error, or nothing found, never a signal. */
	fails(module_load(module), USP_FAILED);
	fails(symbol_find(module, "late", NULL, STT_FUNC, &symbol), USP_NOT_FOUND);
	victim_reopen(&victim);
	module = victim_module(&victim, "libvictim.so");
	struct usp_error *error = module_load(module);
	usp_error_destroy(error);
	error = symbol_find(module, "late", NULL, STT_FUNC, &symbol);
	assert_non_null(error);
	usp_error_destroy(error);
	victim_stop(&victim);
	run("rm -r %s", directory);
}

/* Run as an argument of the dynamic linker: the kernel thinks that ld.so is the executable. */
static void test_by_loader(void **state)
{
	(void)state;
	const char *directory = make_directory();
	char script[128];
	struct victim victim;
	snprintf(script, sizeof(script), "%s/run", directory);
	run("printf '#!/bin/sh\\nexec /lib64/ld-linux-x86-64.so.2 %s\\n' > %s && chmod +x %s",
	    victim_path("elf_pie"), script, script);
	victim_start(&victim, script, NULL);
	assert_string_equal(victim.modules->v[0]->name, "elf_pie");
	assert_true(victim.modules->v[0]->is_main);
	assert_true(victim.modules->n_linked > 2);
	victim_stop(&victim);
	run("rm -r %s", directory);
}

/* As without the right to map_files: by name below the root. */
static void test_by_name(void **state)
{
	struct victim victim;
	struct modules *modules;
	char path[128];
	(void)state;
	victim_start(&victim, victim_path("elf_pie"), NULL);
	const char *directory = make_directory();
	run("cp /proc/%d/auxv %s/ && ln -s / %s/root", (int)victim.pid, directory, directory);
	struct target target = victim.target;
	target.procfd = open(directory, O_PATH | O_CLOEXEC);
	ok(modules_open(&target, &victim.maps, &modules));
	assert_int_equal(modules->n, victim.modules->n);
	for (size_t i = 0; i < modules->n; i++) {
		assert_null(modules->v[i]->unusable);
		assert_int_equal(modules->v[i]->bias, victim.modules->v[i]->bias);
		assert_string_equal(modules->v[i]->path, victim.modules->v[i]->path);
	}
	modules_close(modules);
	/* The name leads to another file, to a fifo, to nothing; the device number differs. */
	snprintf(path, sizeof(path), "%s/fifo", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	const char *const names[] = {"/bin/true", path, "/nowhere", "../../../..", ""};
	for (size_t i = 0; i < 6; i++) {
		const char *saved[512];
		for (size_t j = 0; j < victim.maps.n; j++) {
			struct mapping *m = &victim.maps.v[j];
			saved[j] = m->name;
			if (strstr(m->name, "libvictim")) {
				if (i < 5)
					m->name = names[i];
				else
					m->device ^= 1;
			}
		}
		ok(modules_open(&target, &victim.maps, &modules));
		struct module *module = modules_find_address(modules, victim_says(&victim, "late"));
		assert_non_null(module);
		struct symbol symbol;
		if (i < 5) {
			assert_non_null(module->unusable);
			assert_false(module_same_in_memory(module));
			fails(module_load(module), USP_MISMATCH);
			fails(symbol_find(module, "late", NULL, STT_FUNC, &symbol), USP_MISMATCH);
			assert_false(symbol_at(module, victim_says(&victim, "late"), &symbol));
			assert_int_equal(module_read_file(module, 0, &symbol, 1), -14);
		} else {
			assert_null(module->unusable); /* the build-id vouches for it */
		}
		modules_close(modules);
		for (size_t j = 0; j < victim.maps.n; j++) {
			if (i == 5 && strstr(saved[j], "libvictim"))
				victim.maps.v[j].device ^= 1;
			victim.maps.v[j].name = saved[j];
		}
	}
	close(target.procfd);
	victim_stop(&victim);
	run("rm -r %s", directory);
}

/* The link map is the target's to write: cycles, strangers, wild pointers. */
static void test_hostile_link_map(void **state)
{
	struct victim victim;
	struct {
		int32_t version, padding;
		uint64_t map;
	} head;
	uint64_t entry[5], pointer = 0, dynamic = 0;
	(void)state;
	victim_start(&victim, victim_path("elf_nopie"), NULL);
	struct module *m = victim.modules->v[0];
	size_t n = victim.modules->n;
	for (size_t i = 0; i < m->n_phdr; i++)
		if (m->phdr[i].p_type == PT_DYNAMIC)
			dynamic = m->phdr[i].p_vaddr;
	for (size_t i = 0; !pointer; i++) {
		uint64_t dyn[2];
		assert_int_equal(target_read(&victim.target, dynamic + 16 * i, dyn, sizeof(dyn)), 0);
		assert_int_not_equal(dyn[0], DT_NULL);
		pointer = dyn[0] == DT_DEBUG ? dyn[1] : 0;
	}
	assert_int_equal(target_read(&victim.target, pointer, &head, sizeof(head)), 0);
	assert_int_equal(target_read(&victim.target, head.map, entry, sizeof(entry)), 0);
	char name[64];
	snprintf(name, sizeof(name), "/proc/%d/mem", (int)victim.pid);
	int fd = open(name, O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 5; i++) {
		uint64_t bad[5];
		memcpy(bad, entry, sizeof(bad));
		if (i == 0)
			bad[3] = head.map; /* itself */
		else if (i == 1)
			bad[3] = 0x1234567;
		else if (i == 2)
			bad[3] = UINT64_MAX - 3;
		else if (i == 3)
			bad[2] = 0;
		else
			bad[2] = 0, bad[3] = head.map; /* a stranger for ever */
		assert_int_equal(pwrite(fd, bad, sizeof(bad), (off_t)head.map), sizeof(bad));
		victim_reopen(&victim);
		assert_int_equal(victim.modules->n, n);
		assert_true(victim.modules->v[0]->is_main);
		if (i != 3) {
			assert_string_equal(victim.modules->v[0]->name, "elf_nopie");
			assert_true(victim.modules->n_linked <= 1);
		}
	}
	uint64_t wild = 0x8000000000000000;
	assert_int_equal(pwrite(fd, &wild, 8, (off_t)pointer + 8), 8);
	victim_reopen(&victim);
	assert_int_equal(victim.modules->n_linked, 0);
	assert_string_equal(victim.modules->v[0]->name, "elf_nopie");
	close(fd);
	kill(victim.pid, SIGKILL); /* its link map is past running destructors */
	victim_stop(&victim);
}

/* An executable mapped as mere data, and a file that is executable but no ELF: no modules. */
static void test_not_modules(void **state)
{
	(void)state;
	struct target target = {.pid = getpid(),
				.procfd = open("/proc/self", O_PATH | O_CLOEXEC),
				.memfd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC)};
	struct maps maps;
	struct modules *modules;
	int fd = open("/bin/ls", O_RDONLY | O_CLOEXEC);
	int text = memfd_create("text", MFD_CLOEXEC);
	assert_int_equal(write(text, "hello", 5), 5);
	void *data = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE, fd, 0);
	void *flat = mmap(NULL, 65536, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	void *strange = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, text, 0);
	ok(maps_read(&target, &maps));
	ok(modules_open(&target, &maps, &modules));
	assert_null(modules_find_address(modules, (uint64_t)data));
	assert_null(modules_find_address(modules, (uint64_t)flat));
	assert_null(modules_find_address(modules, (uint64_t)strange));
	assert_non_null(modules_find_address(modules, (uint64_t)test_not_modules));
	assert_true(modules->v[0]->is_main);
	modules_close(modules);
	maps_deinit(&maps);
	close(fd);
	close(text);
	close(target.procfd);
	close(target.memfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pie),	    cmocka_unit_test(test_nopie),
		cmocka_unit_test(test_now),	    cmocka_unit_test(test_clang),
		cmocka_unit_test(test_static),	    cmocka_unit_test(test_static_pie),
		cmocka_unit_test(test_musl),	    cmocka_unit_test(test_musl_static),
		cmocka_unit_test(test_no_build_id), cmocka_unit_test(test_deleted_and_replaced),
		cmocka_unit_test(test_truncated),   cmocka_unit_test(test_by_loader),
		cmocka_unit_test(test_by_name),	    cmocka_unit_test(test_hostile_link_map),
		cmocka_unit_test(test_not_modules),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "process/elf/dynamic.h"
#include "process/elf/elffile.h"
#include "process/elf/module_new.h"
#include "process/elf/symbol_table.h"

/* A small sound file: headers, one segment of code with everything in it. */
struct image {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[4];
	uint8_t body[8192];
};

static void image_init(struct image *image)
{
	memset(image, 0, sizeof(*image));
	memcpy(image->ehdr.e_ident, ELFMAG, SELFMAG);
	image->ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	image->ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	image->ehdr.e_ident[EI_VERSION] = EV_CURRENT;
	image->ehdr.e_type = ET_DYN;
	image->ehdr.e_machine = EM_X86_64;
	image->ehdr.e_phoff = offsetof(struct image, phdr);
	image->ehdr.e_phnum = 1;
	image->ehdr.e_phentsize = sizeof(Elf64_Phdr);
	image->phdr[0] = (Elf64_Phdr){.p_type = PT_LOAD,
				      .p_flags = PF_R | PF_X,
				      .p_filesz = sizeof(*image),
				      .p_memsz = sizeof(*image),
				      .p_align = 4096};
}

static int open_image(const struct image *image, struct elf_file **file)
{
	return elf_file_from_memory(image, sizeof(*image), file);
}

static void test_headers(void **state)
{
	struct image image;
	struct elf_file *file;
	(void)state;
	image_init(&image);
	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(elf_file_extent(file, 0), sizeof(image));
	assert_int_equal(elf_file_extent(file, sizeof(image)), 0);
	assert_non_null(elf_file_at(file, sizeof(image) - 1, 1));
	assert_null(elf_file_at(file, sizeof(image) - 1, 2));
	assert_null(elf_file_at(file, sizeof(image), 1));
	assert_null(elf_file_at(file, UINT64_MAX, 2));
	assert_null(elf_file_at(file, 2, UINT64_MAX));
	assert_null(elf_file_at(file, 0, 0));
	assert_null(elf_file_table(file, 0, UINT64_MAX / 8, 24, 8));
	assert_null(elf_file_table(file, 4, 1, 8, 8)); /* misaligned */
	assert_non_null(elf_file_table(file, 8, 1, 8, 8));
	assert_true(elf_file_is_code(file, 0, sizeof(image)));
	assert_false(elf_file_is_code(file, 1, sizeof(image)));
	assert_false(elf_file_is_code(file, 1, UINT64_MAX));
	elf_file_close(file);
	for (size_t size = 0; size < sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr); size++)
		assert_int_equal(elf_file_from_memory(&image, size, &file), -ENOEXEC);

#define REFUSED(change)                                    \
	do {                                               \
		image_init(&image);                        \
		change;                                    \
		if (open_image(&image, &file) != -ENOEXEC) \
			fail_msg("accepted: %s", #change); \
	} while (0)
	REFUSED(image.ehdr.e_ident[0] = 0);
	REFUSED(image.ehdr.e_ident[EI_CLASS] = ELFCLASS32);
	REFUSED(image.ehdr.e_ident[EI_DATA] = ELFDATA2MSB);
	REFUSED(image.ehdr.e_machine = EM_AARCH64);
	REFUSED(image.ehdr.e_type = ET_REL);
	REFUSED(image.ehdr.e_type = ET_CORE);
	REFUSED(image.ehdr.e_phentsize = 1);
	REFUSED(image.ehdr.e_phnum = PN_XNUM);
	REFUSED(image.ehdr.e_phoff = UINT64_MAX);
	REFUSED(image.ehdr.e_phoff = sizeof(image) - 1);
	REFUSED(image.phdr[0].p_memsz = 1);
	REFUSED(image.phdr[0].p_offset = UINT64_MAX);
	REFUSED(image.phdr[0].p_vaddr = UINT64_MAX - 4);
	REFUSED((image.phdr[0].p_filesz = 0, image.phdr[0].p_memsz = UINT64_MAX));
	/* Section headers are optional: bad ones are none. */
	image_init(&image);
	image.ehdr.e_shnum = 4;
	image.ehdr.e_shentsize = sizeof(Elf64_Shdr);
	image.ehdr.e_shoff = sizeof(image) - 10;
	assert_int_equal(open_image(&image, &file), 0);
	assert_null(file->shdr);
	elf_file_close(file);
	/* No segment at all: a file, but no module. */
	struct module *module;
	image_init(&image);
	image.ehdr.e_phnum = 0;
	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(module_new(NULL, file, "x", 0, &module), -ENOEXEC);
	image_init(&image);
	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(module_new(NULL, file, "x", -(uint64_t)4096, &module), -ENOEXEC); /* around zero */
}

static void test_not_files(void **state)
{
	struct elf_file *file;
	(void)state;
	assert_int_equal(elf_file_open(open("/dev/zero", O_RDONLY), &file), -EINVAL);
	assert_int_equal(elf_file_open(open("/", O_RDONLY), &file), -EINVAL);
	int fd = memfd_create("x", 0);
	assert_int_equal(elf_file_open(dup(fd), &file), -ENOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)ELF_FILE_MAX + 1), 0);
	assert_int_equal(elf_file_open(dup(fd), &file), -EFBIG);
	struct image image;
	image_init(&image);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, &image, sizeof(image), 0), sizeof(image));
	assert_int_equal(elf_file_open(fd, &file), 0);
	/* What was read stays as it was; what was not cannot be read once it is gone. */
	const uint8_t *first = elf_file_at(file, 0, 16);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_memory_equal(first, image.ehdr.e_ident, 16);
	assert_null(elf_file_at(file, sizeof(image) - 16, 16));
	elf_file_close(file);
}

static size_t note(uint8_t *at, uint32_t name_size, uint32_t size, uint32_t type, const char *name)
{
	uint32_t head[] = {name_size, size, type};
	memcpy(at, head, 12);
	memcpy(at + 12, name, 4);
	memset(at + 16, 0xab, 24);
	return 40;
}

static void test_notes(void **state)
{
	uint8_t notes[256] = {0}, id[64];
	(void)state;
	size_t n = note(notes, 4, 20, NT_GNU_BUILD_ID, "GNU");
	assert_int_equal(elf_note_build_id(notes, n, 4, id, sizeof(id)), 20);
	assert_int_equal(id[0], 0xab);
	for (size_t cut = 0; cut < 36; cut++) {
		uint8_t *exact = malloc(cut + !cut); /* for the sanitizer */
		memcpy(exact, notes, cut);
		assert_int_equal(elf_note_build_id(exact, cut, 4, id, sizeof(id)), 0);
		free(exact);
	}
	assert_int_equal(elf_note_build_id(notes, n, 4, id, 19), 0); /* no room */
	note(notes, 4, 20, NT_GNU_BUILD_ID, "gnu");
	assert_int_equal(elf_note_build_id(notes, n, 4, id, sizeof(id)), 0);
	note(notes, UINT32_MAX, UINT32_MAX, NT_GNU_BUILD_ID, "GNU");
	assert_int_equal(elf_note_build_id(notes, n, 4, id, sizeof(id)), 0);
	note(notes, 4, 0, NT_GNU_BUILD_ID, "GNU");
	assert_int_equal(elf_note_build_id(notes, n, 4, id, sizeof(id)), 0);
	/* After another note. */
	note(notes, 4, 24, 5, "GNU");
	note(notes + 40, 4, 20, NT_GNU_BUILD_ID, "GNU");
	assert_int_equal(elf_note_build_id(notes, 80, 4, id, sizeof(id)), 20);
}

/* A CIE and an FDE by hand, in the body; the header points at them. */
static size_t put_frames(struct image *image, uint8_t encoding, int32_t start, int32_t size)
{
	uint64_t base = offsetof(struct image, body);
	uint8_t *at = image->body + 16;
	image->ehdr.e_phnum = 2;
	image->phdr[1] = (Elf64_Phdr){
		.p_type = PT_GNU_EH_FRAME, .p_offset = base, .p_vaddr = base, .p_filesz = 16, .p_memsz = 16};
	const uint8_t header[] = {1, 0x1b, 0xff, 0xff, 12, 0, 0, 0};
	memcpy(image->body, header, sizeof(header));
	const uint8_t cie[] = {16, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, encoding, 0, 0, 0};
	memcpy(at, cie, sizeof(cie));
	const uint8_t fde[] = {16, 0, 0, 0, 24, 0, 0, 0};
	memcpy(at + 20, fde, sizeof(fde));
	memcpy(at + 28, &start, 4);
	memcpy(at + 32, &size, 4);
	return 56; /* in the body, where the next record would be */
}

static void test_frames(void **state)
{
	struct image image;
	struct elf_file *file;
	struct fde_table table;
	uint64_t here = offsetof(struct image, body) + 16 + 28;
	(void)state;
	image_init(&image);
	put_frames(&image, 0x1b, 100, 50);
	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(fde_table_read(file, &table), 0);
	assert_true(table.complete);
	assert_int_equal(table.n, 1);
	assert_int_equal(table.v[0].start, here + 100);
	assert_int_equal(table.v[0].end, here + 150);
	assert_ptr_equal(fde_table_find(&table, here + 149), table.v);
	assert_null(fde_table_find(&table, here + 150));
	assert_null(fde_table_find(&table, here + 99));
	assert_ptr_equal(fde_table_starting(&table, here + 100), table.v);
	assert_null(fde_table_starting(&table, here + 101));
	fde_table_deinit(&table);
	elf_file_close(file);
	/* Where code cannot be: left out. What is not understood: said. */
	const struct {
		uint8_t encoding;
		int32_t start, size;
		bool complete;
	} odd[] = {{0x1b, 100000, 50, true}, {0x1b, -100000, 50, true}, {0x1b, 100, 100000, true},
		   {0x1b, 100, 0, true},     {0x1b, 100, -1, false},	{0x9b, 100, 50, false},
		   {0x3b, 100, 50, false},   {0x1f, 100, 50, false},	{0xff, 100, 50, false}};
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		image_init(&image);
		put_frames(&image, odd[i].encoding, odd[i].start, odd[i].size);
		assert_int_equal(open_image(&image, &file), 0);
		assert_int_equal(fde_table_read(file, &table), 0);
		assert_int_equal(table.n, 0);
		assert_int_equal(table.complete, odd[i].complete);
		fde_table_deinit(&table);
		elf_file_close(file);
	}
	/* A record longer than the file, a CIE pointer to nowhere, to itself. */
	for (int i = 0; i < 4; i++) {
		image_init(&image);
		size_t end = put_frames(&image, 0x1b, 100, 50);
		uint32_t record[] = {i == 0 ? 0xfffffff0 : i == 1 ? 3 : 16, i == 2 ? 0x7fffffff : 4, 1, 1, 1};
		memcpy(image.body + end, record, sizeof(record));
		assert_int_equal(open_image(&image, &file), 0);
		assert_int_equal(fde_table_read(file, &table), 0);
		assert_int_equal(table.n, 1);
		assert_false(table.complete);
		fde_table_deinit(&table);
		elf_file_close(file);
	}
}

static void use(struct module *module)
{
	struct symbol symbol;
	struct symbol_table *table;
	struct range_set set = {0};
	struct usp_error *error = symbol_find(module, "late", NULL, STT_FUNC, &symbol);
	if (!error)
		usp_error_destroy(function_ranges(module, symbol.address, symbol.size, &set));
	usp_error_destroy(error);
	usp_error_destroy(symbol_find(module, "versioned@V1", "a.c", STT_NOTYPE, &symbol));
	error = symbol_table_functions(module, &table);
	if (!error)
		for (size_t i = 0; i < table->n_functions && i < 50; i++)
			usp_error_destroy(function_ranges(module, table->functions[i].start, 0, &set));
	usp_error_destroy(error);
	assert_non_null(module_dynamic(module));
	range_set_deinit(&set);
}

/* A true library, damaged at each place that is a header or a table, and cut at every length. */
static void test_damaged(void **state)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	struct elf_file *file;
	struct module *module;
	size_t used = 0;
	(void)state;
	int fd = open(victim_path("libvictim.so"), O_RDONLY | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t *bytes = malloc((size_t)size);
	assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
	close(fd);
	const Elf64_Ehdr *ehdr = (const void *)bytes;
	for (size_t cut = 0; cut < (size_t)size; cut += 97) {
		if (elf_file_from_memory(bytes, cut, &file) == 0 &&
		    module_new(NULL, file, "x", 0, &module) == 0) {
			use(module);
			module_close(module);
			used++;
		}
	}
	assert_true(used > 10);
	for (size_t at = 0; at < (size_t)size; at++) {
		/* Headers, and from .hash to .rela; then section headers. */
		if (at >= 0x1000 && at < ehdr->e_shoff)
			continue;
		if (at % 7 && at >= sizeof(*ehdr) + ehdr->e_phnum * sizeof(Elf64_Phdr))
			continue;
		uint8_t saved = bytes[at];
		for (size_t i = 0; i < sizeof(values); i++) {
			bytes[at] = values[i];
			if (elf_file_from_memory(bytes, (size_t)size, &file) == 0 &&
			    module_new(NULL, file, "x", 0, &module) == 0) {
				use(module);
				module_close(module);
			}
		}
		bytes[at] = saved;
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers), cmocka_unit_test(test_not_files),
		cmocka_unit_test(test_notes),	cmocka_unit_test(test_frames),
		cmocka_unit_test(test_damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
/* twin_check(): another build-id and no symbols are no difference, anything else that is loaded is, and is named. */
#define _GNU_SOURCE
#include "place_test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "build/place/twin.h"
#include "process/elf/elffile.h"

/* twin: as it was linked; target: the same with another build-id, stripped. */
static void link_both(const char *how)
{
	put_all();
	run("gcc -O2 -g -w %s -c all.c other.c main.c", strstr(how, "no-pie") ? "-fno-pie" : "-fPIC");
	run("gcc %s -Wl,--build-id=0x%040d -o twin all.o other.o main.o && "
	    "gcc %s -Wl,--build-id=0x%040d -o target all.o other.o main.o && strip target",
	    how, 1, how, 2);
}

static struct usp_error *check(void)
{
	struct module *twin, *target;
	ok(module_open_file("twin", &twin));
	struct usp_error *error = module_open_file("target", &target);
	if (!error) {
		error = twin_check(twin, target);
		module_close(target);
	}
	module_close(twin);
	return error;
}

static void same(void)
{
	ok(check());
}

static void refused(const char *word)
{
	struct usp_error *error = check();
	assert_non_null(error);
	assert_int_equal(error->code, USP_MISMATCH);
	if (!strstr(error->message, word))
		fail_msg("no \"%s\" in: %s", word, error->message);
	usp_error_destroy(error);
}

/* Where in the target a section begins, or its header. */
static uint64_t section_at(const char *name, bool header, Elf64_Shdr *shdr)
{
	struct module *target;
	ok(module_open_file("target", &target));
	const Elf64_Shdr *s = elf_file_section(target->elf, name);
	assert_non_null(s);
	*shdr = *s;
	uint64_t at =
		header ? target->ehdr.e_shoff + (uint64_t)(s - target->elf->shdr) * sizeof(*s) : s->sh_offset;
	module_close(target);
	return at;
}

static uint64_t section(const char *name)
{
	Elf64_Shdr unused;
	return section_at(name, false, &unused);
}

static void poke(uint64_t at, const void *bytes, size_t n)
{
	int fd = open("target", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, (off_t)at), n);
	close(fd);
}

static uint8_t flip(uint64_t at, uint8_t mask)
{
	uint8_t byte;
	int fd = open("target", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	close(fd);
	byte ^= mask;
	poke(at, &byte, 1);
	return byte;
}

static void edit_section(const char *name, void (*edit)(Elf64_Shdr *))
{
	Elf64_Shdr shdr, before;
	uint64_t at = section_at(name, true, &before);
	shdr = before;
	edit(&shdr);
	poke(at, &shdr, sizeof(shdr));
	refused(name);
	poke(at, &before, sizeof(before));
	same();
}

static void test_same(void **state)
{
	(void)state;
	static const char *const kinds[] = {"-pie", "-no-pie", "-no-pie -static", "-shared",
					    "-pie -Wl,-z,now"};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		link_both(kinds[i]);
		same();
		run("cp twin target");
		same();
		run("objcopy --only-keep-debug target target.debug && strip target && "
		    "objcopy --add-gnu-debuglink=target.debug target");
		same();
	}
}

/* What a hash of the debug information cannot tell from another program. */
static void test_other_debug_information(void **state)
{
	(void)state;
	link_both("-pie");
	run("gcc -O2 -w -fPIC -c all.c other.c main.c && gcc -pie -Wl,--build-id -o target all.o other.o "
	    "main.o");
	same();
}

static void test_bytes(void **state)
{
	(void)state;
	static const char *const names[] = {".interp",	".dynsym",    ".dynstr", ".rela.dyn",
					    ".text",	".rodata",    ".data",	 ".eh_frame_hdr",
					    ".dynamic", ".init_array"};
	link_both("-pie");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		Elf64_Shdr shdr;
		uint64_t at = section_at(names[i], false, &shdr);
		flip(at, 0x10);
		refused(names[i]);
		flip(at, 0x10);
		flip(at + shdr.sh_size - 1, 1);
		refused(names[i]);
		flip(at + shdr.sh_size - 1, 1);
		same();
	}
	/* Of the note only the hash is excused. */
	flip(section(".note.gnu.build-id") + sizeof(Elf64_Nhdr), 1);
	refused(".note.gnu.build-id");
}

static void test_not_in_sections(void **state)
{
	(void)state;
	link_both("-pie");
	flip(EI_NIDENT - 1, 1);
	refused("outside of sections");
	flip(EI_NIDENT - 1, 1);
	flip(offsetof(Elf64_Ehdr, e_entry), 1);
	refused("ELF header");
	flip(offsetof(Elf64_Ehdr, e_entry), 1);
	flip(offsetof(Elf64_Ehdr, e_flags), 1);
	refused("outside of sections");
	flip(offsetof(Elf64_Ehdr, e_flags), 1);
	same();
	struct module *target;
	ok(module_open_file("target", &target));
	Elf64_Ehdr ehdr = target->ehdr;
	module_close(target);
	for (size_t i = 0; i < ehdr.e_phnum; i++) {
		uint64_t at = ehdr.e_phoff + i * sizeof(Elf64_Phdr);
		flip(at + offsetof(Elf64_Phdr, p_flags), 1);
		refused("program header");
		flip(at + offsetof(Elf64_Phdr, p_flags), 1);
		flip(at + offsetof(Elf64_Phdr, p_memsz), 0x40);
		struct usp_error *error = check(); /* or it cannot even be opened */
		assert_non_null(error);
		usp_error_destroy(error);
		flip(at + offsetof(Elf64_Phdr, p_memsz), 0x40);
	}
	same();
}

static void longer(Elf64_Shdr *s)
{
	s->sh_size += 8;
}

static void elsewhere(Elf64_Shdr *s)
{
	s->sh_addr += 8;
}

static void writable(Elf64_Shdr *s)
{
	s->sh_flags ^= SHF_WRITE;
}

static void not_loaded(Elf64_Shdr *s)
{
	s->sh_flags &= ~(uint64_t)SHF_ALLOC;
}

static void note(Elf64_Shdr *s)
{
	s->sh_type = SHT_NOTE;
}

static void test_section_headers(void **state)
{
	(void)state;
	static const char *const names[] = {".note.gnu.build-id", ".text", ".rodata", ".data", ".bss"};
	link_both("-pie");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		edit_section(names[i], longer);
		edit_section(names[i], elsewhere);
		edit_section(names[i], writable);
		edit_section(names[i], not_loaded);
	}
	edit_section(".data", note);
	Elf64_Shdr shdr;
	poke(section_at(".bss", true, &shdr), &(uint32_t){UINT32_MAX}, sizeof(uint32_t)); /* its name */
	refused(".bss");
	poke(offsetof(Elf64_Ehdr, e_shstrndx), &(uint16_t){0}, sizeof(uint16_t));
	refused("section without a name");
	poke(offsetof(Elf64_Ehdr, e_shnum), &(uint16_t){0}, sizeof(uint16_t));
	refused("no section headers");
}

/* Section headers as they should be, over segments that load something else. */
static void test_segment_elsewhere(void **state)
{
	(void)state;
	link_both("-pie");
	struct module *target;
	ok(module_open_file("target", &target));
	Elf64_Ehdr ehdr = target->ehdr;
	size_t i = 0;
	while (!(target->phdr[i].p_type == PT_LOAD && (target->phdr[i].p_flags & PF_X)))
		i++;
	Elf64_Phdr phdr = target->phdr[i];
	struct stat st;
	assert_int_equal(stat("target", &st), 0);
	module_close(target);
	uint64_t at = ehdr.e_phoff + i * sizeof(phdr) + offsetof(Elf64_Phdr, p_offset);
	/* What it loads is then another part of the file; the header that says so is loaded, too, and looked at first. */
	poke(at, &(uint64_t){phdr.p_offset + 4096}, sizeof(uint64_t));
	refused("outside of sections");
	poke(at, &(uint64_t){0}, sizeof(uint64_t));
	refused("outside of sections");
	poke(at, &(uint64_t){(uint64_t)st.st_size}, sizeof(uint64_t));
	refused("outside of sections");
	poke(at, &phdr.p_offset, sizeof(uint64_t));
	same();
	/* Shorter than its segments: so are its section headers. */
	assert_int_equal(truncate("target", (off_t)(phdr.p_offset + 16)), 0);
	refused("no section headers");
}

static void test_other_programs(void **state)
{
	(void)state;
	link_both("-pie");
	run("gcc -O2 -w -fPIC -c all.c && sed 's/one/two/' all.c >b.c && gcc -O2 -w -fPIC -c b.c && "
	    "gcc -pie -Wl,--build-id=0x%040d -o target b.o other.o main.o",
	    1);
	refused(".rodata"); /* has the same build-id */
	run("gcc -pie -Wl,--build-id=none -o target all.o other.o main.o");
	refused(".note.gnu.build-id");
	run("gcc -pie -Wl,--build-id=0x1234 -o target all.o other.o main.o");
	refused(".note.gnu.build-id");
	run("gcc -pie -Wl,-z,now -Wl,--build-id=0x%040d -o target all.o other.o main.o", 1);
	refused("its .");
}

/* Whatever a header says, there is an answer; only the place of the section headers is nobody's business. */
static void test_hostile(void **state)
{
	(void)state;
	link_both("-pie");
	struct module *target;
	ok(module_open_file("target", &target));
	Elf64_Ehdr ehdr = target->ehdr;
	module_close(target);
	uint64_t headers = ehdr.e_phoff + (uint64_t)ehdr.e_phnum * sizeof(Elf64_Phdr),
		 sections = ehdr.e_shoff + (uint64_t)ehdr.e_shnum * sizeof(Elf64_Shdr);
	for (uint64_t at = 0; at < sections; at = at + 1 == headers ? ehdr.e_shoff : at + 1) {
		static const uint8_t masks[] = {0x01, 0x80, 0xFF};
		for (size_t i = 0; i < sizeof(masks); i++) {
			flip(at, masks[i]);
			struct usp_error *error = check();
			if (at < headers && (at < offsetof(Elf64_Ehdr, e_shoff) || at >= sizeof(Elf64_Ehdr)))
				assert_non_null(error);
			usp_error_destroy(error);
			flip(at, masks[i]);
		}
	}
	same();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_same),
		TEST(test_other_debug_information),
		TEST(test_bytes),
		TEST(test_not_in_sections),
		TEST(test_section_headers),
		TEST(test_segment_elsewhere),
		TEST(test_other_programs),
		TEST(test_hostile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The parts that need no target: what the stub is told, and what an ELF image leaves unused. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "process/remote/hole.h"
#include "process/remote/remote.h"
#include "process/remote/stub.h"

static struct user_regs_struct registers(uint64_t rax, uint64_t orig_rax)
{
	return (struct user_regs_struct){
		.rip = 0x1000, .rsp = 0x7000, .rax = rax, .orig_rax = orig_rax, .eflags = 0x346};
}

static void check_restart(int64_t rax, int64_t orig_rax, uint64_t want_rax, uint64_t want_rip)
{
	struct remote_slot slot;
	struct user_regs_struct r = registers((uint64_t)rax, (uint64_t)orig_rax);
	remote_slot_fill(&slot, 7, &r, 0x55);
	assert_int_equal(slot.rax, want_rax);
	assert_int_equal(slot.rip, want_rip);
	assert_int_equal(slot.rsp, 0x7000);
	assert_int_equal(slot.mask, 0x55);
	assert_int_equal(slot.flags, 0x246); /* no trap flag */
}

static void test_restart(void **state)
{
	(void)state;
	check_restart(-512, SYS_futex, SYS_futex, 0xffe);
	check_restart(-513, SYS_read, SYS_read, 0xffe);
	check_restart(-514, SYS_epoll_wait, SYS_epoll_wait, 0xffe);
	check_restart(-516, SYS_poll, SYS_restart_syscall, 0xffe);
	check_restart(-4, SYS_poll, (uint64_t)-4, 0x1000);
	check_restart(12, SYS_read, 12, 0x1000);
	check_restart(-512, -1, (uint64_t)-512, 0x1000); /* the program's own value: not in a system call */
	check_restart(-516, -1, (uint64_t)-516, 0x1000);
}

static void test_code_fits(void **state)
{
	size_t n;
	(void)state;
	assert_non_null(remote_stub_code(&n));
	assert_true(n > 100 && REMOTE_SLOT_CODE + n <= REMOTE_SLOT_SIZE);
	assert_true(remote_stub_call == REMOTE_SLOT_CODE && remote_stub_marker < remote_stub_syscall &&
		    remote_stub_syscall < REMOTE_SLOT_SIZE);
}

struct image {
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	Elf64_Shdr sections[2];
	uint8_t rest[512];
};

static struct image good(void)
{
	struct image i = {
		.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
			   .e_type = ET_DYN,
			   .e_machine = EM_X86_64,
			   .e_phoff = offsetof(struct image, segment),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 1,
			   .e_shoff = offsetof(struct image, sections),
			   .e_shentsize = sizeof(Elf64_Shdr),
			   .e_shnum = 2},
		.segment = {.p_type = PT_LOAD, .p_filesz = 100, .p_memsz = 100},
		.sections = {{0}, {.sh_type = SHT_PROGBITS, .sh_offset = 300, .sh_size = 100}},
	};
	return i;
}

static void test_image_end(void **state)
{
	struct image i = good();
	(void)state;
	assert_int_equal(remote_hole_image_end(&i, sizeof(i)), 400);
	i.sections[1].sh_size = 11;
	assert_int_equal(remote_hole_image_end(&i, sizeof(i)), 311);
	i.segment.p_filesz = i.segment.p_memsz = 500;
	assert_int_equal(remote_hole_image_end(&i, sizeof(i)), 500);
	i.sections[1].sh_type = SHT_NOBITS;
	i.sections[1].sh_size = ~0ull;
	assert_int_equal(remote_hole_image_end(&i, sizeof(i)), 500);
	i.header.e_shoff = 0;
	assert_int_equal(remote_hole_image_end(&i, sizeof(i)), 500);
}

#define REFUSED(change)                                                    \
	do {                                                               \
		struct image i = good();                                   \
		change;                                                    \
		assert_int_equal(remote_hole_image_end(&i, sizeof(i)), 0); \
	} while (0)

static void test_hostile_image(void **state)
{
	struct image whole = good();
	(void)state;
	for (size_t n = 0; n < 400; n++) /* cut short anywhere */
		assert_int_equal(remote_hole_image_end(&whole, n), 0);
	REFUSED(i.header.e_ident[0] = 0);
	REFUSED(i.header.e_ident[EI_CLASS] = ELFCLASS32);
	REFUSED(i.header.e_ident[EI_DATA] = ELFDATA2MSB);
	REFUSED(i.header.e_machine = EM_AARCH64);
	REFUSED(i.header.e_type = ET_REL);
	REFUSED(i.header.e_phnum = 0);
	REFUSED(i.header.e_phnum = 0xffff);
	REFUSED(i.header.e_phentsize = 1);
	REFUSED(i.header.e_phoff = ~0ull);
	REFUSED(i.header.e_phoff = sizeof(i) - 10);
	REFUSED(i.segment.p_offset = ~0ull - 50);
	REFUSED(i.segment.p_filesz = i.segment.p_memsz = ~0ull);
	REFUSED(i.segment.p_memsz = 101);
	REFUSED(i.header.e_shoff = ~0ull);
	REFUSED(i.header.e_shnum = 0);
	REFUSED(i.header.e_shnum = 0xffff);
	REFUSED(i.header.e_shentsize = 63);
	REFUSED(i.sections[1].sh_offset = ~0ull);
	REFUSED(i.sections[1].sh_size = ~0ull);
	REFUSED(i.sections[1].sh_size = sizeof(i));
}

static void find(const char *text, bool whole, uint64_t code, uint64_t stack)
{
	struct maps maps;
	struct remote_area area;
	assert_int_equal(maps_parse(text, strlen(text), &maps), 0);
	assert_int_equal(remote_find_area(&maps, &area), whole);
	assert_int_equal(area.code, code);
	assert_int_equal(area.stack, stack);
	maps_deinit(&maps);
}

#define NAME " 00000000 00:01 26                         /memfd:usplice-area (deleted)\n"

static void test_find_area(void **state)
{
	(void)state;
	find("10000-11000 r-xp" NAME "20000-30000 rw-p" NAME, true, 0x10000, 0x20000);
	find("10000-11000 r-xp" NAME, false, 0x10000, 0);
	find("10000-11000 r-xs" NAME "20000-30000 rw-s" NAME, false, 0, 0); /* others could write to it */
	find("10000-12000 r-xp" NAME "20000-31000 rw-p" NAME, false, 0, 0);
	find("10000-11000 rwxp" NAME "20000-30000 rwxp" NAME, false, 0, 0);
	find("10000-11000 r-xp 00000000 00:01 26 /tmp/memfd:usplice-area (deleted)\n", false, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restart),	  cmocka_unit_test(test_code_fits),
		cmocka_unit_test(test_image_end), cmocka_unit_test(test_hostile_image),
		cmocka_unit_test(test_find_area),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

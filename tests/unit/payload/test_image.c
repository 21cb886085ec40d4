// SPDX-License-Identifier: MIT
/* payload_read()'s result and images of made-up objects: each relocation's value, what is asked, what is
 * refused late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "base/error.h"
#include "elfmaker.h"
#include "payload/file.h"
#include "payload/image.h"

#include <usplice/payload.h>

#define BASE 0x7f0000000000ull
#define NEAR 0x7f0010000000ull
#define FAR  0x560000000000ull

/* The host, played: answers by a table, and remembers what it was asked. */
struct answer {
	const char *name;
	struct payload_value value;
	const char *error;
	unsigned asked;
	struct payload_reference reference;
	char version[16], file[16];
};

struct fixture {
	struct elfmaker e;
	struct answer answers[8];
	struct payload *payload;
	struct payload_image *image;
	struct usp_error *error;
};

static struct usp_error *resolve(void *context, const struct payload_reference *reference,
				 struct payload_value *value)
{
	struct fixture *f = context;
	for (size_t i = 0; i < 8; i++) {
		struct answer *a = &f->answers[i];
		if (!a->name || strcmp(a->name, reference->name))
			continue;
		a->asked++;
		a->reference = *reference;
		snprintf(a->version, sizeof(a->version), "%s", reference->version ? reference->version : "-");
		snprintf(a->file, sizeof(a->file), "%s", reference->file ? reference->file : "-");
		*value = a->value;
		return a->error ? usp_errorf(USP_AMBIGUOUS, "%s", a->error) : NULL;
	}
	fail_msg("asked for %s", reference->name);
	return NULL;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	elfmaker_payload(&f->e);
	f->answers[0] = (struct answer){.name = "near", .value = {.address = NEAR}};
	f->answers[1] = (struct answer){.name = "far", .value = {.address = FAR}};
	f->answers[2] = (struct answer){.name = "zero"};
	f->answers[3] = (struct answer){
		.name = "tls",
		.value = {.tls_module = 2, .tls_offset = 0x18, .tls_static = true, .tls_tpoff = -0x40}};
	f->answers[4] = (struct answer){.name = "late", .value = {.tls_module = 3, .tls_offset = 0x20}};
	f->answers[5] = (struct answer){.name = "early", .value = {.tls_static = true, .tls_tpoff = -8}};
	f->answers[7] = (struct answer){.name = "later", .value = {.tls_module = 3, .tls_offset = 0x28}};
	f->answers[6] = (struct answer){.name = "many", .error = "two of them"};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	payload_image_destroy(f->image);
	payload_destroy(f->payload);
	usp_error_destroy(f->error);
	elfmaker_deinit(&f->e);
	free(f);
	return 0;
}

static void read_good(struct fixture *f)
{
	elf_build(&f->e);
	f->error = payload_read(f->e.bytes, f->e.size, true, &f->payload);
	if (f->error)
		fail_msg("%s", f->error->message);
}

static void build_at(struct fixture *f, uint64_t base)
{
	uint64_t size;
	read_good(f);
	f->error = payload_image_size(f->payload, &size);
	assert_null(f->error);
	f->error = payload_image_build(f->payload, base, resolve, f, &f->image);
	if (!f->error)
		assert_int_equal(f->image->size, size);
}

static void build_good(struct fixture *f)
{
	build_at(f, BASE);
	if (f->error)
		fail_msg("%s", f->error->message);
}

static void build_bad(struct fixture *f, enum usp_code code, const char *message)
{
	build_at(f, BASE);
	if (!f->error)
		fail_msg("built, expected \"%s\"", message);
	if (f->error->code != code || !strstr(f->error->message, message))
		fail_msg("code %d, \"%s\" has no \"%s\"", f->error->code, f->error->message, message);
	assert_null(f->image);
}

static unsigned undefined(struct fixture *f, const char *name)
{
	return elf_symbol(&f->e, name, STB_GLOBAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
}

static uint64_t text(const struct fixture *f, uint64_t offset)
{
	return payload_image_address(f->payload, f->image, (struct payload_place){f->e.text, offset});
}

static uint64_t at64(const struct fixture *f, uint64_t address)
{
	uint64_t value;
	assert_true(address >= f->image->base && address <= f->image->base + f->image->size - 8);
	memcpy(&value, f->image->bytes + (address - f->image->base), 8);
	return value;
}

static int64_t at32(const struct fixture *f, uint64_t address)
{
	int32_t value;
	assert_true(address >= f->image->base && address <= f->image->base + f->image->size - 4);
	memcpy(&value, f->image->bytes + (address - f->image->base), 4);
	return value;
}

/* Where a 32 bit PC-relative field with addend -4 leads. */
static uint64_t target32(const struct fixture *f, uint64_t offset)
{
	return text(f, offset) + 4 + (uint64_t)at32(f, text(f, offset));
}

/* --- what is read --- */
static void test_fields(void **state)
{
	struct fixture *f = *state;
	elf_hook(&f->e, "revert");
	elf_hook(&f->e, "load");
	read_good(f);
	const struct payload *p = f->payload;
	assert_string_equal(p->name, "good");
	assert_string_equal(p->version, "1.2");
	assert_string_equal(p->description, "a \"fix\"");
	assert_string_equal(p->target_name, "victim");
	assert_int_equal(p->build_id_size, 8);
	assert_memory_equal(p->build_id, "\1\2\3\4\5\6\7\10", 8);
	assert_int_equal(p->target_build_id_size, 20);
	assert_int_equal(p->target_build_id[10], 0xaa);
	assert_int_equal(p->depends_size, 0);
	assert_int_equal(p->n_functions, 1);
	const struct payload_function *fn = &p->functions[0];
	assert_string_equal(fn->name, "old_f");
	assert_null(fn->file);
	assert_false(fn->is_nop);
	assert_int_equal(fn->replacement.section, f->e.text);
	assert_int_equal(fn->replacement.offset, 0);
	assert_int_equal(fn->replacement_size, 16);
	assert_int_equal(fn->old_size, 32);
	assert_int_equal(fn->expected_length, 5);
	assert_memory_equal(fn->expected, "\1\2\3\4\5", 5);
	assert_null(fn->hash);
	assert_memory_equal(f->e.bytes + fn->record_offset + 48, fn->expected - 1, 6);
	assert_int_equal(p->n_hooks, 2);
	assert_int_equal(p->hooks[0].kind, PAYLOAD_HOOK_LOAD);
	assert_int_equal(p->hooks[1].kind, PAYLOAD_HOOK_REVERT);
	assert_int_equal(p->n_exports, 1);
	assert_string_equal(p->exports[0], "new_f");
	assert_false(p->has_writable_data);
}

static void test_exports(void **state)
{
	struct fixture *f = *state;
	elf_symbol(&f->e, "weak_one", STB_WEAK, STT_FUNC, f->e.text, 0, 16);
	elf_symbol(&f->e, "local_one", STB_LOCAL, STT_FUNC, f->e.text, 0, 16);
	unsigned hidden = elf_symbol(&f->e, "hidden_one", STB_GLOBAL, STT_FUNC, f->e.text, 0, 16);
	undefined(f, "outside");
	elf_sym(&f->e, hidden)->st_other = STV_HIDDEN;
	read_good(f);
	assert_int_equal(f->payload->n_exports, 1);
	assert_string_equal(f->payload->exports[0], "new_f");
}

static void test_info_padding(void **state)
{
	struct fixture *f = *state;
	static const char info[] =
		"\0\0format=1\0\0\0x-mine=anything\0x-mine=twice\0target-build-id=00FF\0depends=0a\0";
	elf_info(&f->e, info, sizeof(info));
	read_good(f);
	assert_string_equal(f->payload->name, "");
	assert_int_equal(f->payload->target_build_id[1], 0xff);
	assert_int_equal(f->payload->depends_size, 1);
	assert_int_equal(f->payload->depends[0], 10);
}

static void test_longest_name(void **state)
{
	struct fixture *f = *state;
	static const char info[] = "format=1\0target-build-id=00\0name="
				   "012345678901234567890123456789012345678901234567890123456789abc";
	elf_info(&f->e, info, sizeof(info));
	read_good(f);
	assert_int_equal(strlen(f->payload->name), PAYLOAD_NAME_MAX);
}

static void test_hooks_only(void **state)
{
	struct fixture *f = *state;
	f->e.sections[f->e.funcs].size = 0;
	f->e.sections[f->e.funcs].n_relas = 0;
	elf_hook(&f->e, "pre-apply");
	build_good(f);
	assert_int_equal(f->payload->n_functions, 0);
	assert_int_equal(payload_image_address(f->payload, f->image, f->payload->hooks[0].place), text(f, 0));
}

static void test_nop_only(void **state)
{
	struct fixture *f = *state;
	elf_rela_at(&f->e, f->e.funcs, 1)->r_info = R_X86_64_NONE;
	struct usplice_function *record = (void *)elf_data(&f->e, f->e.funcs);
	record->nop_offset = 3;
	record->nop_length = 5;
	/* and no code at all: the text, its function and its unwind record go */
	elf_shdr(&f->e, f->e.text)->sh_size = 0;
	elf_shdr(&f->e, f->e.eh_frame)->sh_flags = 0;
	elf_sym(&f->e, f->e.new_function)->st_size = 0;
	build_good(f);
	assert_true(f->payload->functions[0].is_nop);
	assert_int_equal(f->payload->functions[0].nop_offset, 3);
	assert_int_equal(f->image->segments[PAYLOAD_SEGMENT_TEXT].size, 0);
	assert_int_equal(f->image->text_start, f->image->text_end);
	assert_int_equal(f->image->eh_frame, 0);
	assert_int_equal(f->image->size, 4096);
}

static void test_nops_of_one_function(void **state)
{
	struct fixture *f = *state;
	struct elfmaker_section *s = &f->e.sections[f->e.funcs];
	s->data = realloc(s->data, 256);
	memcpy(s->data + 128, s->data, 128);
	s->size = 256;
	elf_rela(&f->e, f->e.funcs, 128, R_X86_64_64, f->e.strings_symbol, 0);
	elf_rela_at(&f->e, f->e.funcs, 1)->r_info = R_X86_64_NONE;
	struct usplice_function *record = (void *)elf_data(&f->e, f->e.funcs);
	record[0].nop_length = 5;
	record[1].nop_length = 5;
	record[1].nop_offset = 5;
	read_good(f);
	assert_int_equal(f->payload->n_functions, 2);
}

/* --- sections --- */
static void test_writable(void **state)
{
	struct fixture *f = *state;
	unsigned data = elf_section(&f->e, ".data.mine", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, "abcdefgh", 8);
	unsigned bss = elf_section(&f->e, ".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, NULL, 5000);
	f->e.sections[data].header.sh_addralign = 4096;
	build_good(f);
	assert_true(f->payload->has_writable_data);
	const struct payload_segment *s = &f->image->segments[PAYLOAD_SEGMENT_DATA];
	assert_int_equal(s->prot, PROT_READ | PROT_WRITE);
	assert_int_equal(s->size, 8192);
	uint64_t address = payload_image_address(f->payload, f->image, (struct payload_place){data, 0});
	assert_int_equal(address, BASE + s->offset);
	assert_memory_equal(f->image->bytes + s->offset, "abcdefgh", 8);
	address = payload_image_address(f->payload, f->image, (struct payload_place){bss, 0});
	assert_int_equal(address, BASE + s->offset + 8);
}

static void test_relocated_constants(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {".data.rel.ro", ".data.rel.ro.local.x",
					    ".data.rel.local.DW.ref.p"};
	unsigned sections[3];
	for (int i = 0; i < 3; i++) {
		sections[i] = elf_section(&f->e, names[i], SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, NULL, 8);
		elf_rela(&f->e, sections[i], 0, R_X86_64_64, f->e.new_function, 2);
	}
	build_good(f);
	assert_false(f->payload->has_writable_data);
	assert_int_equal(f->image->segments[PAYLOAD_SEGMENT_DATA].size, 0);
	for (int i = 0; i < 3; i++) {
		uint64_t at =
			payload_image_address(f->payload, f->image, (struct payload_place){sections[i], 0});
		assert_true(at < f->image->text_start);
		assert_int_equal(at64(f, at), text(f, 2));
	}
}

static void test_ignored_sections(void **state)
{
	struct fixture *f = *state;
	elf_section(&f->e, ".comment", SHT_PROGBITS, SHF_MERGE | SHF_STRINGS, "gcc", 4);
	elf_section(&f->e, ".note.GNU-stack", SHT_PROGBITS, 0, NULL, 0);
	elf_section(&f->e, ".llvm_addrsig", SHT_LOOS + 0xfff4c03, SHF_EXCLUDE, NULL, 4);
	elf_section(&f->e, ".note.gnu.property", SHT_NOTE, SHF_ALLOC, NULL, 32);
	elf_section(&f->e, ".init_array", SHT_INIT_ARRAY, SHF_ALLOC | SHF_WRITE, NULL, 0);
	elf_section(&f->e, ".tbss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE | SHF_TLS, NULL, 0);
	elf_section(&f->e, ".group", SHT_GROUP, 0, NULL, 8);
	unsigned debug = elf_section(&f->e, ".debug_info", SHT_PROGBITS, SHF_COMPRESSED, NULL, 40);
	elf_rela(&f->e, debug, 4096, 250, f->e.text_symbol, 0); /* not looked at */
	unsigned other = elf_section(&f->e, ".gcc_except_table", SHT_PROGBITS, SHF_ALLOC, "table", 6);
	build_good(f);
	assert_false(f->payload->has_writable_data);
	uint64_t at = payload_image_address(f->payload, f->image, (struct payload_place){other, 0});
	assert_string_equal(f->image->bytes + (at - BASE), "table");
}

/* --- relocations --- */
static void test_values(void **state)
{
	struct fixture *f = *state;
	unsigned near = undefined(f, "near"), own = f->e.new_function, absolute;
	unsigned data = elf_section(&f->e, ".rodata.v", SHT_PROGBITS, SHF_ALLOC, NULL, 128);
	absolute = elf_symbol(&f->e, "fixed", STB_GLOBAL, STT_NOTYPE, SHN_ABS, 0x1234, 0);
	elf_rela(&f->e, data, 0, R_X86_64_64, near, 3);
	elf_rela(&f->e, data, 8, R_X86_64_PC64, near, 1);
	elf_rela(&f->e, data, 16, R_X86_64_PC32, own, 5);
	elf_rela(&f->e, data, 24, R_X86_64_SIZE64, own, 1);
	elf_rela(&f->e, data, 32, R_X86_64_SIZE32, own, 2);
	elf_rela(&f->e, data, 40, R_X86_64_64, absolute, 1);
	elf_rela(&f->e, data, 48, R_X86_64_32, absolute, 0);
	elf_rela(&f->e, data, 52, R_X86_64_32S, absolute, -0x1235);
	elf_rela(&f->e, data, 56, R_X86_64_GOT64, near, 0);
	elf_rela(&f->e, data, 64, R_X86_64_GOTPC64, undefined(f, "_GLOBAL_OFFSET_TABLE_"), 0);
	elf_rela(&f->e, data, 72, R_X86_64_GOTOFF64, own, 0);
	elf_rela(&f->e, data, 80, R_X86_64_GOTPCREL64, near, 0);
	elf_rela(&f->e, data, 88, R_X86_64_PLTOFF64, near, 0);
	elf_rela(&f->e, data, 96, R_X86_64_GOT32, near, 0);
	elf_rela(&f->e, data, 100, R_X86_64_GOTPC32, undefined(f, "_GLOBAL_OFFSET_TABLE_2"), 0);
	elf_rela(&f->e, data, 104, R_X86_64_NONE, 0, 99);
	elf_rela(&f->e, data, 112, R_X86_64_GOTPLT64, own, 0);
	build_good(f);
	uint64_t at = payload_image_address(f->payload, f->image, (struct payload_place){data, 0});
	uint64_t got = at + 64 + at64(f, at + 64);
	assert_int_equal(at64(f, at), NEAR + 3);
	assert_int_equal(at64(f, at + 8) + at + 8, NEAR + 1);
	assert_int_equal((uint64_t)at32(f, at + 16) + at + 16, text(f, 0) + 5);
	assert_int_equal(at64(f, at + 24), 17);
	assert_int_equal(at32(f, at + 32), 18);
	assert_int_equal(at64(f, at + 40), 0x1235);
	assert_int_equal(at32(f, at + 48), 0x1234);
	assert_int_equal(at32(f, at + 52), -1);
	assert_int_equal(at64(f, got + at64(f, at + 56)), NEAR);
	assert_int_equal(at64(f, at + 72) + got, text(f, 0));
	assert_int_equal(at64(f, at + 80 + at64(f, at + 80)), NEAR);
	assert_int_equal(at64(f, at + 88) + got, NEAR);
	assert_int_equal(at64(f, got + (uint64_t)at32(f, at + 96)), NEAR);
	assert_int_equal((uint64_t)at32(f, at + 100) + at + 100, got);
	assert_int_equal(at64(f, at + 104), 0);
	assert_int_equal(at64(f, got + at64(f, at + 112)), text(f, 0));
	assert_int_equal(f->answers[0].asked, 1);
}

static void test_calls(void **state)
{
	struct fixture *f = *state;
	unsigned near = undefined(f, "near"), far = undefined(f, "far");
	uint8_t *code = f->e.sections[f->e.text].data;
	code[23] = 0xe8; /* call, of an old assembler: PC32 */
	code[31] = 0x0f; /* je */
	code[32] = 0x84;
	elf_rela(&f->e, f->e.text, 16, R_X86_64_PLT32, near, -4);
	elf_rela(&f->e, f->e.text, 20, R_X86_64_PLT32, far, -4);
	elf_rela(&f->e, f->e.text, 24, R_X86_64_PC32, far, -4);
	elf_rela(&f->e, f->e.text, 33, R_X86_64_PC32, far, -4);
	elf_rela(&f->e, f->e.text, 40, R_X86_64_GOTPCRELX, far, -4);
	elf_rela(&f->e, f->e.text, 44, R_X86_64_PLT32, f->e.new_function, -4);
	build_good(f);
	assert_int_equal(target32(f, 16), NEAR);
	uint64_t slot = target32(f, 20), word = target32(f, 40);
	assert_int_equal(target32(f, 24), slot);
	assert_int_equal(target32(f, 33), slot);
	assert_int_equal(target32(f, 44), text(f, 0));
	assert_true(slot >= f->image->text_start && slot < f->image->text_end);
	assert_memory_equal(f->image->bytes + (slot - BASE), "\xff\x25", 2);
	assert_int_equal(slot + 6 + (uint64_t)at32(f, slot + 2), word); /* one word for slot and GOT */
	assert_int_equal(at64(f, word), FAR);
	assert_true(word >= f->image->text_end && word < BASE + f->image->size);
	assert_int_equal(f->answers[1].asked, 1);
}

static void test_tls_values(void **state)
{
	struct fixture *f = *state;
	unsigned tls = undefined(f, "tls"), late = undefined(f, "late");
	elf_rela(&f->e, f->e.text, 16, R_X86_64_TPOFF32, tls, 4);
	elf_rela(&f->e, f->e.text, 20, R_X86_64_GOTTPOFF, tls, -4);
	elf_rela(&f->e, f->e.text, 24, R_X86_64_TLSGD, late, -4);
	elf_rela(&f->e, f->e.text, 28, R_X86_64_TLSLD, late, -4);
	elf_rela(&f->e, f->e.text, 32, R_X86_64_DTPOFF32, undefined(f, "later"), 8);
	elf_rela(&f->e, f->e.text, 40, R_X86_64_DTPOFF64, late, 0);
	elf_rela(&f->e, f->e.text, 48, R_X86_64_TPOFF64, tls, 0);
	build_good(f);
	assert_int_equal(at32(f, text(f, 16)), -0x3c);
	assert_int_equal(at64(f, target32(f, 20)), (uint64_t)-0x40);
	assert_int_equal(at64(f, target32(f, 24)), 3);
	assert_int_equal(at64(f, target32(f, 24) + 8), 0x20);
	assert_int_equal(at64(f, target32(f, 28)), 3);
	assert_int_equal(at64(f, target32(f, 28) + 8), 0);
	assert_int_equal(at32(f, text(f, 32)), 0x30);
	assert_int_equal(at64(f, text(f, 40)), 0x20);
	assert_int_equal(at64(f, text(f, 48)), (uint64_t)-0x40);
	assert_true(f->answers[3].reference.tls);
}

static void one(struct fixture *f, const char *name, unsigned type, int64_t addend)
{
	elf_rela(&f->e, f->e.text, 20, type, undefined(f, name), addend);
}

static void test_refuse_32(void **state)
{
	one(*state, "near", R_X86_64_32, 0);
	build_bad(*state, USP_BAD_PAYLOAD,
		  "section .text+0x14: R_X86_64_32 against near: its address 0x7f0010000000 (a distance of "
		  "139638245163008 "
		  "bytes from 0) does not fit in 32 bits: compile with -fPIC (or -fPIE)");
}

static void test_refuse_32s(void **state)
{
	one(*state, "near", R_X86_64_32S, 0);
	build_bad(*state, USP_BAD_PAYLOAD, "R_X86_64_32S against near");
}

static void test_refuse_pc32(void **state)
{
	one(*state, "far", R_X86_64_PC32, -4);
	build_bad(*state, USP_BAD_PAYLOAD,
		  "R_X86_64_PC32 against far: it is at 0x560000000000, -45079976742932 bytes from here");
}

static void test_refuse_call_beside(void **state)
{
	one(*state, "far", R_X86_64_PLT32, 12);
	build_bad(*state, USP_BAD_PAYLOAD, "R_X86_64_PLT32 against far");
}

static void test_refuse_weak_pc32(void **state)
{
	struct fixture *f = *state;
	elf_rela(&f->e, f->e.text, 20, R_X86_64_PC32,
		 elf_symbol(&f->e, "zero", STB_WEAK, STT_NOTYPE, 0, 0, 0), -4);
	build_bad(f, USP_BAD_PAYLOAD, "-fPIC");
}

static void test_refuse_tpoff(void **state)
{
	one(*state, "late", R_X86_64_TPOFF32, 0);
	build_bad(*state, USP_BAD_PAYLOAD, "thread-local variable late has no fixed offset");
}

static void test_refuse_gottpoff(void **state)
{
	one(*state, "late", R_X86_64_GOTTPOFF, -4);
	build_bad(*state, USP_BAD_PAYLOAD, "thread-local variable late has no fixed offset");
}

static void test_refuse_tlsgd(void **state)
{
	one(*state, "zero", R_X86_64_TLSGD, -4);
	build_bad(*state, USP_BAD_PAYLOAD,
		  "thread-local variable zero: neither its offset from the thread pointer nor the number");
}

static void test_refuse_two_modules(void **state)
{
	struct fixture *f = *state;
	elf_rela(&f->e, f->e.text, 16, R_X86_64_TLSLD, undefined(f, "tls"), -4);
	elf_rela(&f->e, f->e.text, 24, R_X86_64_DTPOFF32, undefined(f, "late"), 0);
	build_bad(f, USP_BAD_PAYLOAD, "tls and late are of different modules");
}

static void test_refuse_zero(void **state)
{
	one(*state, "zero", R_X86_64_64, 0);
	build_bad(*state, USP_NOT_FOUND, "section .text+0x14: symbol zero has no address");
}

static void test_pass_on(void **state)
{
	one(*state, "many", R_X86_64_64, 0);
	build_bad(*state, USP_AMBIGUOUS, "section .text+0x14: two of them");
}

static void test_weak_undefined(void **state)
{
	struct fixture *f = *state;
	unsigned zero = elf_symbol(&f->e, "zero", STB_WEAK, STT_NOTYPE, 0, 0, 0);
	elf_rela(&f->e, f->e.text, 20, R_X86_64_GOTPCREL, zero, -4);
	elf_rela(&f->e, f->e.text, 24, R_X86_64_PLT32, zero, -4);
	build_good(f);
	assert_int_equal(at64(f, target32(f, 20)), 0);
	assert_true(f->answers[2].reference.weak);
}

static void test_version_and_file(void **state)
{
	struct fixture *f = *state;
	static const char names[] = "near\0n.c\0zero\0z.c\0far";
	static const struct usplice_symbol raw[3] = {[2] = {.address = 0x1234, .by_address = 1}};
	unsigned strings = elf_section(&f->e, ".rodata.n", SHT_PROGBITS, SHF_ALLOC, names, sizeof(names));
	unsigned symbol = elf_symbol(&f->e, "", STB_LOCAL, STT_SECTION, strings, 0, 0);
	unsigned records = elf_section(&f->e, ".usplice.symbols", SHT_PROGBITS, SHF_ALLOC, &raw, sizeof(raw));
	static const int64_t at[] = {0, 5, 9, 14};
	for (unsigned i = 0; i < 4; i++)
		elf_rela(&f->e, records, 32 * (i / 2) + 8 * (i % 2), R_X86_64_64, symbol, at[i]);
	elf_rela(&f->e, records, 64, R_X86_64_64, symbol, 18);
	elf_rela(&f->e, f->e.text, 16, R_X86_64_64, undefined(f, "near@V1"), 0);
	elf_rela(&f->e, f->e.text, 24, R_X86_64_64, undefined(f, "far@@V2"), 0);
	undefined(f, "nobody_asks_for_me");
	build_good(f);
	assert_string_equal(f->answers[0].version, "V1");
	assert_string_equal(f->answers[0].file, "n.c");
	assert_string_equal(f->answers[1].version, "V2");
	assert_string_equal(f->answers[1].file, "-");
	assert_false(f->answers[0].reference.by_address);
	assert_true(f->answers[1].reference.by_address);
	assert_int_equal(f->answers[1].reference.address, 0x1234);
	assert_int_equal(at64(f, text(f, 24)), FAR);
}

/* A weak variable is the target's if it has it; a weak function is the payload's own and nobody is asked. */
static void test_weak_defined(void **state)
{
	struct fixture *f = *state;
	unsigned data = elf_section(&f->e, ".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, NULL, 16);
	unsigned theirs = elf_symbol(&f->e, "near", STB_WEAK, STT_OBJECT, data, 0, 8);
	unsigned ours = elf_symbol(&f->e, "zero", STB_GNU_UNIQUE, STT_OBJECT, data, 8, 8);
	unsigned code = elf_symbol(&f->e, "weak_code", STB_WEAK, STT_FUNC, f->e.text, 0, 16);
	elf_rela(&f->e, f->e.text, 16, R_X86_64_64, theirs, 0);
	elf_rela(&f->e, f->e.text, 24, R_X86_64_64, ours, 0);
	elf_rela(&f->e, f->e.text, 32, R_X86_64_64, code, 0);
	build_good(f);
	assert_int_equal(at64(f, text(f, 16)), NEAR);
	assert_int_equal(at64(f, text(f, 24)),
			 payload_image_address(f->payload, f->image, (struct payload_place){data, 8}));
	assert_int_equal(at64(f, text(f, 32)), text(f, 0));
	assert_true(f->answers[0].reference.weak && f->answers[2].reference.weak);
}

/* Beside a program that is not position-independent, code compiled with -fno-pic works; above 2 GiB not. */
static void no_pic(struct fixture *f, uint64_t base)
{
	elf_rela(&f->e, f->e.text, 20, R_X86_64_32, f->e.new_function, 4);
	elf_rela(&f->e, f->e.text, 24, R_X86_64_32S, f->e.text_symbol, 8);
	build_at(f, base);
}

static void test_low_base(void **state)
{
	struct fixture *f = *state;
	no_pic(f, 0x600000);
	if (f->error)
		fail_msg("%s", f->error->message);
	assert_int_equal(at32(f, text(f, 20)), text(f, 4));
	assert_int_equal(at32(f, text(f, 24)), text(f, 8));
}

static void test_high_base(void **state)
{
	struct fixture *f = *state;
	no_pic(f, 0x80000000);
	assert_non_null(f->error);
	assert_non_null(strstr(f->error->message, "R_X86_64_32S against .text: its address 0x8000"));
	assert_non_null(strstr(f->error->message, "compile with -fPIC (or -fPIE)"));
}

static void test_bad_base(void **state)
{
	struct fixture *f = *state;
	static const uint64_t bases[] = {0, BASE + 16, UINT64_MAX - 4095, 1ull << 63, INT64_MAX - 4095};
	read_good(f);
	for (size_t i = 0; i < 5; i++) {
		f->error = payload_image_build(f->payload, bases[i], resolve, f, &f->image);
		assert_non_null(f->error);
		assert_int_equal(f->error->code, USP_USAGE);
		usp_error_destroy(f->error);
		f->error = NULL;
	}
}

/* --- unwinding --- */
static void test_no_frame(void **state)
{
	struct fixture *f = *state;
	elf_symbol(&f->e, "bare_f", STB_GLOBAL, STT_FUNC, f->e.text, 32, 8);
	build_bad(f, USP_BAD_PAYLOAD, "function bare_f has no unwind information");
}

static void test_frame_too_short(void **state)
{
	struct fixture *f = *state;
	elf_data(&f->e, f->e.eh_frame)[36] = 12;
	build_bad(f, USP_BAD_PAYLOAD, "function new_f has no unwind information");
}

static void test_frame_past_end(void **state)
{
	struct fixture *f = *state;
	elf_data(&f->e, f->e.eh_frame)[37] = 0x10;
	build_bad(f, USP_BAD_PAYLOAD,
		  "an FDE covers 0x1010 bytes at image offset 0x1000, past the code's end");
}

static void test_no_eh_frame(void **state)
{
	struct fixture *f = *state;
	elf_shdr(&f->e, f->e.eh_frame)->sh_flags = 0;
	build_bad(f, USP_BAD_PAYLOAD, "function new_f has no unwind information");
}

static void more_frames(struct fixture *f, int64_t start)
{
	unsigned more = elf_section(&f->e, ".eh_frame", SHT_X86_64_UNWIND, SHF_ALLOC,
				    f->e.sections[f->e.eh_frame].data, 44);
	elf_rela(&f->e, more, 32, R_X86_64_PC32, f->e.text_symbol, start);
}

static void test_two_eh_frames(void **state)
{
	struct fixture *f = *state;
	more_frames(f, 16);
	elf_symbol(&f->e, "second_f", STB_LOCAL, STT_FUNC, f->e.text, 16, 16);
	build_good(f);
	assert_int_equal(f->image->eh_frame_size, 2 * 44 + 4);
	assert_int_equal(f->image->n_functions, 2);
	assert_string_equal(f->image->functions[0].name, "second_f");
	assert_int_equal(f->image->functions[0].address, text(f, 16));
}

static void test_frames_overlap(void **state)
{
	more_frames(*state, 8);
	build_bad(*state, USP_BAD_PAYLOAD, "two FDEs cover the code at image offset 0x1008");
}

/* Of a discarded function: its relocation is gone. */
static void test_frame_of_nothing(void **state)
{
	struct fixture *f = *state;
	more_frames(f, 0);
	elf_rela_at(&f->e, f->e.n_sections - 5, 0)->r_info = 0;
	build_good(f);
}

/* A relocation over a record's length must not lead the walk astray. */
static void test_frame_relocated_length(void **state)
{
	struct fixture *f = *state;
	unsigned big = elf_symbol(&f->e, "big", STB_GLOBAL, STT_NOTYPE, SHN_ABS, 0x7ffffff0, 0);
	elf_rela(&f->e, f->e.eh_frame, 24, R_X86_64_32, big, 0);
	build_bad(f, USP_BAD_PAYLOAD, "relocated .eh_frame: unwind record at 0x18: length 0x7ffffff0");
}

static void test_frame_relocated_kind(void **state)
{
	struct fixture *f = *state;
	unsigned nothing = elf_symbol(&f->e, "nothing", STB_GLOBAL, STT_NOTYPE, SHN_ABS, 0, 0);
	elf_rela(&f->e, f->e.eh_frame, 4, R_X86_64_32, nothing, 28);
	build_bad(f, USP_BAD_PAYLOAD, "relocated .eh_frame: FDE at 0x0: its CIE would lie before");
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fields),
		TEST(exports),
		TEST(info_padding),
		TEST(longest_name),
		TEST(hooks_only),
		TEST(nop_only),
		TEST(nops_of_one_function),
		TEST(writable),
		TEST(relocated_constants),
		TEST(ignored_sections),
		TEST(values),
		TEST(calls),
		TEST(tls_values),
		TEST(refuse_32),
		TEST(refuse_32s),
		TEST(refuse_pc32),
		TEST(refuse_call_beside),
		TEST(refuse_weak_pc32),
		TEST(refuse_tpoff),
		TEST(refuse_gottpoff),
		TEST(refuse_tlsgd),
		TEST(refuse_two_modules),
		TEST(refuse_zero),
		TEST(pass_on),
		TEST(weak_undefined),
		TEST(version_and_file),
		TEST(weak_defined),
		TEST(low_base),
		TEST(high_base),
		TEST(bad_base),
		TEST(no_frame),
		TEST(frame_too_short),
		TEST(frame_past_end),
		TEST(no_eh_frame),
		TEST(two_eh_frames),
		TEST(frames_overlap),
		TEST(frame_of_nothing),
		TEST(frame_relocated_length),
		TEST(frame_relocated_kind),
	};
	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
/* Thread-local accesses written over: each form that compilers write, byte for byte; anything else is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "elfmaker.h"
#include "payload/file.h"
#include "payload/image.h"

#define BASE  0x7f0000000000ull
#define START 16 /* where in .text the code is */
#define TPOFF "\xc0\xff\xff\xff"
#define FS    "\x64\x48\x8b\x04\x25\0\0\0\0" /* mov %fs:0,%rax */

/* One access: its bytes, its relocations, and what becomes of it for a variable at -0x40 from the pointer. */
struct form {
	const char *what;
	uint8_t size;
	const char *code, *expected;
	struct {
		uint8_t type, offset;
		bool callee;
		int8_t addend;
	} relocations[2];
	uint32_t fields; /* bits: bytes that relocations fill in */
};

#define GD(o)                                \
	{                                    \
		R_X86_64_TLSGD, o, false, -4 \
	}
#define LD(o)                                \
	{                                    \
		R_X86_64_TLSLD, o, false, -4 \
	}
#define CALL(type, o)             \
	{                         \
		type, o, true, -4 \
	}
#define FAR(o)                                \
	{                                     \
		R_X86_64_PLTOFF64, o, true, 0 \
	}
#define FIELD(o, n) (((1u << (n)) - 1) << (o))
#define GD_LEA	    "\x66\x48\x8d\x3d\0\0\0\0"
#define LEA	    "\x48\x8d\x3d\0\0\0\0"
#define GD_DONE	    FS "\x48\x8d\x80" TPOFF
#define ADD_RBX	    "\x48\xb8\0\0\0\0\0\0\0\0\x48\x01\xd8\xff\xd0"
#define ADD_R15	    "\x48\xb8\0\0\0\0\0\0\0\0\x4c\x01\xf8\xff\xd0"
#define NOP3	    "\x0f\x1f\x00"
#define NOP4	    "\x0f\x1f\x40\x00"
#define NOP6	    "\x66\x0f\x1f\x44\x00\x00"
#define GD_FIELDS   (FIELD(4, 4) | FIELD(12, 4))
#define FAR_FIELDS  (FIELD(3, 4) | FIELD(9, 8))

/* clang-format off */
static const struct form forms[] = {
	{"TLSGD, PLT", 16, GD_LEA "\x66\x66\x48\xe8\0\0\0\0", GD_DONE, {GD(4), CALL(R_X86_64_PLT32, 12)}, GD_FIELDS},
	{"TLSGD, PC32", 16, GD_LEA "\x66\x66\x48\xe8\0\0\0\0", GD_DONE, {GD(4), CALL(R_X86_64_PC32, 12)}, GD_FIELDS},
	{"TLSGD, no PLT", 16, GD_LEA "\x66\x48\xff\x15\0\0\0\0", GD_DONE, {GD(4), CALL(R_X86_64_GOTPCRELX, 12)}, GD_FIELDS},
	{"TLSGD, no PLT, REX", 16, GD_LEA "\x66\x48\xff\x15\0\0\0\0", GD_DONE, {GD(4), CALL(R_X86_64_REX_GOTPCRELX, 12)}, GD_FIELDS},
	{"TLSGD, no PLT, old", 16, GD_LEA "\x66\x48\xff\x15\0\0\0\0", GD_DONE, {GD(4), CALL(R_X86_64_GOTPCREL, 12)}, GD_FIELDS},
	{"TLSGD, addr32", 16, GD_LEA "\x66\x48\x67\xe8\0\0\0\0", GD_DONE, {GD(4), CALL(R_X86_64_PLT32, 12)}, GD_FIELDS},
	{"TLSGD, large", 22, LEA ADD_RBX, GD_DONE NOP6, {GD(3), FAR(9)}, FAR_FIELDS},
	{"TLSGD, large, r15", 22, LEA ADD_R15, GD_DONE NOP6, {GD(3), FAR(9)}, FAR_FIELDS},
	{"TLSLD, PLT", 12, LEA "\xe8\0\0\0\0", FS NOP3, {LD(3), CALL(R_X86_64_PLT32, 8)}, FIELD(3, 4) | FIELD(8, 4)},
	{"TLSLD, no PLT", 13, LEA "\xff\x15\0\0\0\0", FS NOP4, {LD(3), CALL(R_X86_64_GOTPCRELX, 9)}, FIELD(3, 4) | FIELD(9, 4)},
	{"TLSLD, no PLT, old", 13, LEA "\xff\x15\0\0\0\0", FS NOP4, {LD(3), CALL(R_X86_64_GOTPCREL, 9)}, FIELD(3, 4) | FIELD(9, 4)},
	{"TLSLD, addr32", 13, LEA "\x67\xe8\0\0\0\0", FS NOP4, {LD(3), CALL(R_X86_64_PLT32, 9)}, FIELD(3, 4) | FIELD(9, 4)},
	{"TLSLD, large", 22, LEA ADD_RBX, FS NOP6 NOP6 "\x90", {LD(3), FAR(9)}, FAR_FIELDS},
	{"TLSLD, large, r15", 22, LEA ADD_R15, FS NOP6 NOP6 "\x90", {LD(3), FAR(9)}, FAR_FIELDS},
	{"TLSDESC", 9, "\x48\x8d\x05\0\0\0\0\xff\x10", "\x48\xc7\xc0" TPOFF "\x66\x90",
	 {{R_X86_64_GOTPC32_TLSDESC, 3, false, -4}, {R_X86_64_TLSDESC_CALL, 7, false, 0}}, FIELD(3, 4)},
	{"TLSDESC, r14", 9, "\x4c\x8d\x35\0\0\0\0\xff\x10", "\x49\xc7\xc6" TPOFF "\x66\x90",
	 {{R_X86_64_GOTPC32_TLSDESC, 3, false, -4}, {R_X86_64_TLSDESC_CALL, 7, false, 0}}, FIELD(3, 4)},
};
/* clang-format on */

struct fixture {
	struct elfmaker e;
	struct payload_value value, other;
	unsigned asked, asked_callee; /* how often */
	struct payload *payload;
	struct payload_image *image;
	struct usp_error *error;
};

static const struct payload_value fixed = {.tls_static = true, .tls_tpoff = -0x40};
static const struct payload_value late = {.tls_module = 3, .tls_offset = 0x20};

/* Of a static program: __tls_get_addr is not there. */
static struct usp_error *resolve(void *context, const struct payload_reference *reference,
				 struct payload_value *value)
{
	struct fixture *f = context;
	if (!strcmp(reference->name, "__tls_get_addr")) {
		f->asked_callee++;
		return usp_errorf(USP_NOT_FOUND, "no __tls_get_addr");
	}
	assert_true(reference->tls);
	assert_true(!strcmp(reference->name, "variable") || !strcmp(reference->name, "other"));
	f->asked++;
	*value = *reference->name == 'v' ? f->value : f->other;
	return NULL;
}

static struct fixture *fixture_create(const struct payload_value *value)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->value = *value;
	elfmaker_payload(&f->e);
	return f;
}

static void fixture_destroy(struct fixture *f)
{
	payload_image_destroy(f->image);
	payload_destroy(f->payload);
	usp_error_destroy(f->error);
	elfmaker_deinit(&f->e);
	free(f);
}

static unsigned add(struct fixture *f, const char *name)
{
	return elf_symbol(&f->e, name, STB_GLOBAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
}

/* Puts the access at .text+START. */
static void add_form(struct fixture *f, const struct form *form, unsigned variable, unsigned callee)
{
	memcpy(f->e.sections[f->e.text].data + START, form->code, form->size);
	for (int i = 0; i < 2; i++)
		elf_rela(&f->e, f->e.text, START + form->relocations[i].offset, form->relocations[i].type,
			 form->relocations[i].callee ? callee : variable, form->relocations[i].addend);
}

static void build(struct fixture *f)
{
	elf_build(&f->e);
	f->error = payload_read(f->e.bytes, f->e.size, true, &f->payload);
	if (!f->error)
		f->error = payload_image_build(f->payload, BASE, resolve, f, &f->image);
}

static const uint8_t *place(const struct fixture *f, unsigned section, uint64_t offset)
{
	uint64_t address =
		payload_image_address(f->payload, f->image, (struct payload_place){section, offset});
	return f->image->bytes + (address - BASE);
}

static const uint8_t *text(const struct fixture *f, uint64_t offset)
{
	return place(f, f->e.text, offset);
}

static void expect(const struct fixture *f, const char *message)
{
	if (!f->error)
		fail_msg("built, expected \"%s\"", message);
	if (f->error->code != USP_BAD_PAYLOAD || !strstr(f->error->message, message))
		fail_msg("code %d, \"%s\" has no \"%s\"", f->error->code, f->error->message, message);
}

static bool is_descriptor(const struct form *form)
{
	return form->relocations[0].type == R_X86_64_GOTPC32_TLSDESC;
}

/* It becomes what it should, nothing beside it changes, and the C library is not needed. */
static void test_written_over(void **state)
{
	const struct form *form = *state;
	struct fixture *f = fixture_create(&fixed);
	add_form(f, form, add(f, "variable"), add(f, "__tls_get_addr"));
	uint8_t around[64];
	memcpy(around, f->e.sections[f->e.text].data, sizeof(around));
	build(f);
	if (f->error)
		fail_msg("%s", f->error->message);
	memcpy(around + START, form->expected, form->size);
	assert_memory_equal(text(f, 0), around, sizeof(around));
	assert_int_equal(f->asked, 1);
	assert_int_equal(f->asked_callee, 0);
	fixture_destroy(f);
}

/* A library that was loaded later: the call stays (and is asked for), a descriptor is refused. */
static void test_late(void **state)
{
	const struct form *form = *state;
	struct fixture *f = fixture_create(&late);
	add_form(f, form, add(f, "variable"), add(f, "__tls_get_addr"));
	build(f);
	assert_non_null(f->error);
	if (is_descriptor(form))
		expect(f, "variable has no fixed offset");
	else
		assert_non_null(strstr(f->error->message, "no __tls_get_addr"));
	assert_int_equal(f->asked_callee, !is_descriptor(form));
	fixture_destroy(f);
}

/* Each byte of the code made another one. Of a field that is filled in, the old contents do not matter. */
static void test_other_bytes(void **state)
{
	const struct form *form = *state;
	for (unsigned i = 0; i < form->size; i++) {
		if (form->fields >> i & 1)
			continue;
		/* REX.R and ModRM's reg field say which register has the descriptor: any may. */
		uint8_t flip = is_descriptor(form) && i == 2 ? 0x40 : 0x01;
		struct fixture *f = fixture_create(&fixed);
		add_form(f, form, add(f, "variable"), add(f, "__tls_get_addr"));
		f->e.sections[f->e.text].data[START + i] ^= flip;
		build(f);
		expect(f, "as compilers write it");
		assert_non_null(strstr(f->error->message, "against variable"));
		fixture_destroy(f);
	}
}

enum change {
	CALLEE_OTHER,
	CALLEE_MISSING,
	CALLEE_AWAY,
	CALLEE_ADDEND,
	CALLEE_TYPE,
	ARGUMENT_ADDEND,
	CHANGES
};

/* The same code with other relocations. */
static void test_other_relocations(void **state)
{
	const struct form *form = *state;
	for (int change = 0; change < CHANGES && !is_descriptor(form); change++) {
		struct fixture *f = fixture_create(&fixed);
		unsigned callee = add(f, change == CALLEE_OTHER ? "__tls_get_addrs" : "__tls_get_addr");
		add_form(f, form, add(f, "variable"), callee);
		Elf64_Rela *argument = elf_rela_at(&f->e, f->e.text, 0), *call = argument + 1;
		if (change == CALLEE_MISSING)
			call->r_info = R_X86_64_NONE;
		else if (change == CALLEE_AWAY)
			call->r_offset++;
		else if (change == CALLEE_ADDEND)
			call->r_addend++;
		else if (change == CALLEE_TYPE)
			call->r_info = call->r_info >> 32 << 32 | R_X86_64_GOTOFF64;
		else if (change == ARGUMENT_ADDEND)
			argument->r_addend++;
		build(f);
		expect(f, "is not in a call of __tls_get_addr as compilers write it");
		fixture_destroy(f);
	}
	if (is_descriptor(form)) {
		struct fixture *f = fixture_create(&fixed);
		add_form(f, form, add(f, "variable"), add(f, "__tls_get_addr"));
		elf_rela_at(&f->e, f->e.text, 0)->r_addend++;
		build(f);
		expect(f, "as compilers write it");
		fixture_destroy(f);
	}
}

/* A relocation at the very start or end of the code: nothing beside the section is looked at (ASan looks). */
static void test_edges(void **state)
{
	const struct form *form = *state;
	for (int end = 0; end < 2; end++) {
		struct fixture *f = fixture_create(&fixed);
		unsigned variable = add(f, "variable"), callee = add(f, "__tls_get_addr");
		elf_rela(&f->e, f->e.text, end ? 60 : 0, form->relocations[0].type, variable, -4);
		elf_rela(&f->e, f->e.text, end ? 56 : 8, form->relocations[1].callee ? R_X86_64_PLT32 : 0,
			 callee, -4);
		build(f);
		expect(f, "as compilers write it");
		fixture_destroy(f);
	}
}

static void test_not_in_code(void **state)
{
	const struct form *form = *state;
	struct fixture *f = fixture_create(&fixed);
	unsigned data = elf_section(&f->e, ".rodata.v", SHT_PROGBITS, SHF_ALLOC, form->code, form->size);
	unsigned variable = add(f, "variable"), callee = add(f, "__tls_get_addr");
	for (int i = 0; i < 2; i++)
		elf_rela(&f->e, data, form->relocations[i].offset, form->relocations[i].type,
			 form->relocations[i].callee ? callee : variable, form->relocations[i].addend);
	build(f);
	expect(f, "as compilers write it");
	fixture_destroy(f);
}

static void test_too_far(void **state)
{
	const struct form *form = *state;
	const struct payload_value far = {.tls_static = true, .tls_tpoff = -0x80000001ll};
	struct fixture *f = fixture_create(&far);
	add_form(f, form, add(f, "variable"), add(f, "__tls_get_addr"));
	build(f);
	if (form->relocations[0].type == R_X86_64_TLSLD)
		assert_null(f->error); /* the block's request has no offset in it */
	else
		expect(f, "its offset from the thread pointer, -2147483649, does not fit in 32 bits");
	fixture_destroy(f);
}

static int64_t at32(const uint8_t *p)
{
	int32_t value;
	memcpy(&value, p, sizeof(value));
	return value;
}

static int64_t at64(const uint8_t *p)
{
	int64_t value;
	memcpy(&value, p, sizeof(value));
	return value;
}

#define LD_PLT 8 /* in forms */

/* A block that is requested, two variables of it in code, and one in data. */
static struct fixture *build_block(const struct payload_value *value, const struct payload_value *other,
				   unsigned *data)
{
	struct fixture *f = fixture_create(value);
	f->other = *other;
	unsigned variable = add(f, "variable"), second = add(f, "other");
	add_form(f, &forms[LD_PLT], variable, add(f, "__tls_get_addr"));
	elf_rela(&f->e, f->e.text, 32, R_X86_64_DTPOFF32, variable, 4);
	elf_rela(&f->e, f->e.text, 40, R_X86_64_DTPOFF64, second, 0);
	*data = elf_section(&f->e, ".rodata.v", SHT_PROGBITS, SHF_ALLOC, NULL, 8);
	elf_rela(&f->e, *data, 0, R_X86_64_DTPOFF64, variable, 0);
	build(f);
	return f;
}

static void test_block(void **state)
{
	(void)state;
	static const struct {
		struct payload_value value, other;
	} cases[] = {
		{{.tls_offset = 16, .tls_static = true, .tls_tpoff = -48},
		 {.tls_offset = 24, .tls_static = true, .tls_tpoff = -40}},
		/* Of one of them only the module is known: its place follows from the other's. */
		{{.tls_module = 2, .tls_offset = 16, .tls_static = true, .tls_tpoff = -48},
		 {.tls_module = 2, .tls_offset = 24}},
		{{.tls_module = 2, .tls_offset = 16},
		 {.tls_module = 2, .tls_offset = 24, .tls_static = true, .tls_tpoff = -40}},
		{{.tls_module = 2, .tls_offset = 16, .tls_static = true, .tls_tpoff = -48},
		 {.tls_offset = 24, .tls_static = true, .tls_tpoff = -40}},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned data;
		struct fixture *f = build_block(&cases[i].value, &cases[i].other, &data);
		if (f->error)
			fail_msg("%zu: %s", i, f->error->message);
		assert_memory_equal(text(f, START), forms[LD_PLT].expected, forms[LD_PLT].size);
		assert_int_equal(at32(text(f, 32)), -44);
		assert_int_equal(at64(text(f, 40)), -40);
		assert_int_equal(at64(place(f, data, 0)), 16); /* data is not code */
		assert_int_equal(f->asked_callee, 0);
		fixture_destroy(f);
	}
}

static void test_two_blocks(void **state)
{
	(void)state;
	static const struct {
		struct payload_value value, other;
	} cases[] = {
		{{.tls_module = 2, .tls_static = true, .tls_tpoff = -48}, {.tls_module = 3}},
		{{.tls_static = true, .tls_tpoff = -48}, {.tls_static = true, .tls_tpoff = -40}},
		/* Not known to be one. */
		{{.tls_static = true, .tls_tpoff = -48}, {.tls_module = 3}},
		{{.tls_module = 3}, {.tls_static = true, .tls_tpoff = -48}},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned data;
		struct fixture *f = build_block(&cases[i].value, &cases[i].other, &data);
		expect(f, "variable and other are of different modules");
		fixture_destroy(f);
	}
}

/* gcc's local-dynamic descriptors: the block has a name that only linkers know. */
static void test_module_base(void **state)
{
	(void)state;
	for (int is_late = 0; is_late < 2; is_late++) {
		struct fixture *f = fixture_create(is_late ? &late : &fixed);
		const struct form *form = &forms[sizeof(forms) / sizeof(forms[0]) - 2];
		assert_string_equal(form->what, "TLSDESC");
		unsigned module =
			elf_symbol(&f->e, "_TLS_MODULE_BASE_", STB_GLOBAL, STT_TLS, SHN_UNDEF, 0, 0);
		add_form(f, form, module, 0);
		elf_rela(&f->e, f->e.text, 32, R_X86_64_DTPOFF32, add(f, "variable"), 0);
		build(f);
		if (is_late) {
			expect(f, "_TLS_MODULE_BASE_ has no fixed offset");
			assert_non_null(strstr(f->error->message, "without -mtls-dialect=gnu2"));
		} else {
			assert_null(f->error);
			assert_memory_equal(text(f, START), "\x48\xc7\xc0\0\0\0\0\x66\x90", 9);
			assert_int_equal(at32(text(f, 32)), -0x40);
		}
		assert_int_equal(f->asked, 1);
		fixture_destroy(f);
	}
}

/* One variable without the call, one with: the call is asked for once, for the one that needs it. */
static void test_both(void **state)
{
	(void)state;
	struct fixture *f = fixture_create(&fixed);
	f->other = late;
	unsigned callee = add(f, "__tls_get_addr");
	add_form(f, &forms[0], add(f, "variable"), callee);
	memcpy(f->e.sections[f->e.text].data + 32, forms[0].code, forms[0].size);
	elf_rela(&f->e, f->e.text, 36, R_X86_64_TLSGD, add(f, "other"), -4);
	elf_rela(&f->e, f->e.text, 44, R_X86_64_PLT32, callee, -4);
	build(f);
	assert_non_null(f->error);
	assert_non_null(strstr(f->error->message, "section .text+0x2c: no __tls_get_addr"));
	assert_int_equal(f->asked_callee, 1);
	fixture_destroy(f);
}

static void test_cut(void **state)
{
	(void)state;
	static const char two[] = "a\u00e4\u00e4", three[] = "\u20ac\u20ac", four[] = "\U0001f600x";
	assert_int_equal(payload_text_cut("", 3), 0);
	assert_int_equal(payload_text_cut("abc", 3), 3);
	assert_int_equal(payload_text_cut("abcd", 3), 3);
	static const uint8_t of_two[] = {0, 1, 1, 3, 3, 5, 5}, of_three[] = {0, 0, 0, 3, 3, 3, 6, 6},
			     of_four[] = {0, 0, 0, 0, 4, 5, 5};
	for (size_t i = 0; i < sizeof(of_two); i++)
		assert_int_equal(payload_text_cut(two, i), of_two[i]);
	for (size_t i = 0; i < sizeof(of_three); i++)
		assert_int_equal(payload_text_cut(three, i), of_three[i]);
	for (size_t i = 0; i < sizeof(of_four); i++)
		assert_int_equal(payload_text_cut(four, i), of_four[i]);
}

#define FORMS (sizeof(forms) / sizeof(forms[0]))

int main(void)
{
	static const struct {
		const char *what;
		CMUnitTestFunction function;
	} each[] = {
		{"written over", test_written_over},
		{"of a late library", test_late},
		{"with other bytes", test_other_bytes},
		{"with other relocations", test_other_relocations},
		{"at the edges", test_edges},
		{"not in code", test_not_in_code},
		{"too far", test_too_far},
	};
	enum {
		EACH = sizeof(each) / sizeof(each[0])
	};
	static struct CMUnitTest tests[FORMS * EACH + 5];
	static char names[FORMS * EACH][80];
	size_t n = 0;
	for (size_t i = 0; i < FORMS; i++) {
		for (size_t k = 0; k < EACH; k++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s %s", forms[i].what, each[k].what);
			tests[n] = (struct CMUnitTest){names[n], each[k].function, NULL, NULL,
						       (void *)&forms[i]};
		}
	}
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_block);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_two_blocks);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_module_base);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_both);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_cut);
	return _cmocka_run_group_tests("tls", tests, n, NULL, NULL);
}

// SPDX-License-Identifier: MIT
/*
 * Compiled payloads, laid out in this process and called: results and side effects are those of the same
 * source compiled in the ordinary way. Each object in each place (low, near, far). Usage: test_image_run LIST
 */
#define _GNU_SOURCE
#include <execinfo.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <elfutils/libdw.h>
#include <gelf.h>

#include "base/error.h"
#include "place.h"
#include "sample_names.h"

void sample_reset(void);
void __register_frame(void *);
void __deregister_frame(void *);

#define DECLARE(name) long t_##name(long);
SAMPLE_NAMES(DECLARE)
static const struct {
	const char *name;
	long (*native)(long);
} functions[] = {
#define ENTRY(name) {"old_" #name, t_##name},
	SAMPLE_NAMES(ENTRY)};

#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))
#define ROUNDS	  14

struct object {
	char model[8];
	char path[4096];
	enum place_kind kind;
};

struct outcome {
	long results[FUNCTIONS * ROUNDS];
	struct target_state state;
	long tls[5];
};

static void take_tls(struct outcome *o)
{
	o->tls[0] = target_tls;
	o->tls[1] = target_tls_ie;
	o->tls[2] = target_tls_ld;
	o->tls[3] = target_tls_ld2;
	o->tls[4] = target_tls_le;
}

static void run_native(struct outcome *o)
{
	target_reset();
	sample_reset();
	for (size_t i = 0; i < FUNCTIONS * ROUNDS; i++)
		o->results[i] = functions[i % FUNCTIONS].native((long)(i / FUNCTIONS));
	o->state = target_state;
	take_tls(o);
}

static void run_payload(const struct place *place, struct outcome *o)
{
	target_reset();
	for (size_t i = 0; i < FUNCTIONS * ROUNDS; i++) {
		long (*function)(long) = place_function(place, functions[i % FUNCTIONS].name);
		assert_non_null(function);
		o->results[i] = function((long)(i / FUNCTIONS));
	}
	o->state = place->arena->state;
	take_tls(o);
}

/* Whether the model can reach the target's data in that place; 2: may or may not. */
static int should_load(const char *model, const char *path, enum place_kind kind)
{
	if (!strcmp(model, "pic") || kind == PLACE_LOW)
		return 1;
	if (strstr(path, "large"))
		return 1;
	if (!strcmp(model, "pie"))
		return kind == PLACE_NEAR ? 1 : 2;
	return 0;
}

/* Whether the object finds its thread-local variables in a library that was loaded later: it calls. */
static bool can_be_late(const char *model, const char *path)
{
	return !strcmp(model, "pic") && !strstr(path, "tls-ie") && !strstr(path, "gnu2");
}

/* libdw must find, through .eh_frame_hdr's table and without it, the frame of each function. */
static void check_elf(const struct payload_image *image)
{
	elf_version(EV_CURRENT);
	Elf *elf = elf_memory((char *)image->bytes, image->size);
	assert_non_null(elf);
	assert_int_equal(elf_kind(elf), ELF_K_ELF);
	Dwarf_CFI *cfi = dwarf_getcfi_elf(elf);
	assert_non_null(cfi);
	for (size_t i = 0; i < image->n_functions; i++) {
		Dwarf_Frame *frame = NULL;
		Dwarf_Addr start, end;
		uint64_t offset = image->functions[i].address - image->base;
		for (int last = 0; last < 2; last++) {
			uint64_t at = last ? offset + image->functions[i].size - 1 : offset;
			if (dwarf_cfi_addrframe(cfi, at, &frame))
				fail_msg("%s: %s", image->functions[i].name, dwarf_errmsg(-1));
			dwarf_frame_info(frame, &start, &end, NULL);
			assert_true(start <= at && at < end);
			free(frame);
		}
	}
	dwarf_cfi_end(cfi);
	elf_end(elf);
}

/* The sorted table itself, by hand. */
static void check_table(const struct payload_image *image)
{
	const Elf64_Ehdr *h = (const void *)image->bytes;
	const Elf64_Phdr *p = (const void *)(image->bytes + h->e_phoff);
	while (p->p_type != PT_GNU_EH_FRAME)
		p++;
	const uint8_t *table = image->bytes + p->p_offset;
	uint32_t n;
	int32_t entry[2], before = INT32_MIN;
	memcpy(&n, table + 8, 4);
	assert_true(n > 0 && 12 + 8ul * n <= p->p_filesz);
	for (uint32_t i = 0; i < n; i++) {
		memcpy(entry, table + 12 + 8 * i, 8);
		assert_true(entry[0] > before);
		before = entry[0];
	}
	uint32_t terminator;
	memcpy(&terminator, image->bytes + (image->eh_frame - image->base) + image->eh_frame_size - 4, 4);
	assert_int_equal(terminator, 0);
}

static void check_segments(const struct payload_image *image)
{
	uint64_t end = 0;
	for (int i = 0; i < PAYLOAD_SEGMENTS; i++) {
		const struct payload_segment *s = &image->segments[i];
		assert_int_equal(s->offset % 4096 | s->size % 4096, 0);
		assert_int_equal(s->offset, end);
		assert_int_not_equal(s->prot, 7);
		assert_int_not_equal(s->prot, 6);
		end = s->offset + s->size;
	}
	assert_int_equal(end, image->size);
}

static void *trace[64];
static int trace_size;

static long take_trace(long x)
{
	trace_size = backtrace(trace, 64);
	return x;
}

/* With its .eh_frame registered, the C library walks through the payload's frames into the caller's. */
static void check_backtrace(const struct place *place)
{
	void *eh_frame = (void *)place->image->eh_frame;
	long (*callbacks)(long) = place_function(place, "old_callbacks");
	void *target = (void *)take_trace;
	__register_frame(eh_frame);
	void *saved;
	memcpy(&saved, place->arena->stubs[2] + 2, 8); /* target_apply becomes take_trace */
	memcpy(place->arena->stubs[2] + 2, &target, 8);
	callbacks(1);
	memcpy(place->arena->stubs[2] + 2, &saved, 8);
	__deregister_frame(eh_frame);
	int inside = -1;
	for (int i = 0; i < trace_size; i++) {
		uint64_t address = (uint64_t)trace[i];
		if (address >= place->image->text_start && address < place->image->text_end)
			inside = i;
	}
	assert_true(inside > 0);
	assert_true(trace_size - inside > 4);
}

static void test_object(void **state)
{
	const struct object *o = *state;
	struct place place;
	place_init(&place, o->kind);
	/* Once with the call, else without. */
	place.late_tls = o->kind == PLACE_FAR && can_be_late(o->model, o->path);
	struct usp_error *error = place_load(&place, o->path, false);
	int should = should_load(o->model, o->path, o->kind);
	if (error) {
		if (should == 1 || !strstr(error->message, "-fPIC"))
			fail_msg("%s", error->message);
		usp_error_destroy(error);
		place_deinit(&place);
		return;
	}
	assert_int_not_equal(should, 0);
	assert_int_equal(place.asked_tls_call, place.late_tls);
	struct outcome native, payload;
	run_native(&native);
	run_payload(&place, &payload);
	for (size_t i = 0; i < FUNCTIONS * ROUNDS; i++) {
		if (native.results[i] != payload.results[i])
			fail_msg("%s(%zu): %ld, should be %ld", functions[i % FUNCTIONS].name, i / FUNCTIONS,
				 payload.results[i], native.results[i]);
	}
	assert_memory_equal(&native.state, &payload.state, sizeof(native.state));
	assert_memory_equal(native.tls, payload.tls, sizeof(native.tls));
	assert_true(place.payload->has_writable_data);
	assert_string_equal(place.payload->name, "sample");
	check_segments(place.image);
	check_elf(place.image);
	check_table(place.image);
	check_backtrace(&place);
	place_deinit(&place);
}

int main(int argc, char **argv)
{
	FILE *list = argc > 1 ? fopen(argv[1], "re") : NULL;
	if (!list)
		return 2;
	static struct object objects[512];
	static struct CMUnitTest tests[512];
	static char labels[512][256];
	unsigned n = 0;
	char model[8], path[4096];
	while (n + 3 <= 512 && fscanf(list, "%7s %4095s", model, path) == 2) {
		for (int kind = 0; kind < PLACE_KINDS; kind++, n++) {
			static const char *const names[] = {"low", "near", "far"};
			const char *base = strrchr(path, '/');
			strcpy(objects[n].model, model);
			strcpy(objects[n].path, path);
			objects[n].kind = kind;
			snprintf(labels[n], sizeof(labels[n]), "%.200s, %s", base ? base + 1 : path,
				 names[kind]);
			tests[n] = (struct CMUnitTest){labels[n], test_object, NULL, NULL, &objects[n]};
		}
	}
	fclose(list);
	if (n < 100)
		return 2; /* the samples are missing */
	return _cmocka_run_group_tests("run", tests, n, NULL, NULL);
}

// SPDX-License-Identifier: MIT
/*
 * libFuzzer: whatever the bytes, payload_read() refuses them or gives a payload that image_size and
 * image_build can work on. The resolver's answers are pseudo-random, from the name, so that each run can be
 * repeated.
 */
#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "payload/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* A pseudo-random number below n. */
static uint32_t draw(uint32_t *state, uint32_t n)
{
	*state = *state * 1664525u + 1013904223u;
	return n ? (*state >> 8) % n : 0;
}

static uint64_t interesting(uint32_t *state, uint64_t old, const Elf64_Ehdr *h)
{
	static const uint64_t values[] = {0,	  1,	     4,		 8,	    24,
					  128,	  0xff,	     0x1000,	 0xfff1,    0xfff2,
					  0xffff, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
	switch (draw(state, 5)) {
	case 0:
		return values[draw(state, sizeof(values) / sizeof(values[0]))];
	case 1:
		return old + draw(state, 33) - 16;
	case 2:
		return draw(state, h->e_shnum + 2u);
	case 3:
		return old ^ 1ull << draw(state, 64);
	default:
		return draw(state, 64);
	}
}

/* Changes one number of a table whose entries are n words of the given widths. */
static void change_entry(uint8_t *table, uint64_t size, const uint8_t *widths, size_t entry, uint32_t *state,
			 const Elf64_Ehdr *h)
{
	uint64_t count = size / entry, value = 0;
	if (!count)
		return;
	uint8_t *at =
		table + (uint64_t)draw(state, count > UINT32_MAX ? UINT32_MAX : (uint32_t)count) * entry;
	uint32_t field = draw(state, (uint32_t)strlen((const char *)widths));
	for (uint32_t i = 0; i < field; i++)
		at += widths[i];
	memcpy(&value, at, widths[field]);
	value = interesting(state, value, h);
	memcpy(at, &value, widths[field]);
}

/*
 * Random bytes rarely get past the header. Half of the time one number is changed that an ELF file is made
 * of: of a section header, a symbol, a relocation, a function record, or any word of a section.
 */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	Elf64_Ehdr h;
	uint32_t state = seed;
	if (size < sizeof(h) || draw(&state, 2))
		return LLVMFuzzerMutate(data, size, max_size);
	memcpy(&h, data, sizeof(h));
	if (h.e_shoff > size || !h.e_shnum || (size - h.e_shoff) / sizeof(Elf64_Shdr) < h.e_shnum)
		return LLVMFuzzerMutate(data, size, max_size);
	uint8_t *table = data + h.e_shoff;
	if (!draw(&state, 4)) {
		change_entry(table, h.e_shnum * sizeof(Elf64_Shdr),
			     (const uint8_t *)"\4\4\10\10\10\10\4\4\10\10", sizeof(Elf64_Shdr), &state, &h);
		return size;
	}
	Elf64_Shdr s;
	memcpy(&s, table + draw(&state, h.e_shnum) * sizeof(s), sizeof(s));
	if (s.sh_type == SHT_NOBITS || s.sh_offset > size || s.sh_size > size - s.sh_offset)
		return LLVMFuzzerMutate(data, size, max_size);
	if (s.sh_type == SHT_SYMTAB)
		change_entry(data + s.sh_offset, s.sh_size, (const uint8_t *)"\4\1\1\2\10\10", 24, &state,
			     &h);
	else if (s.sh_type == SHT_RELA)
		change_entry(data + s.sh_offset, s.sh_size, (const uint8_t *)"\10\4\4\10", 24, &state, &h);
	else if (s.sh_size % 128 == 0)
		change_entry(data + s.sh_offset, s.sh_size,
			     (const uint8_t *)"\10\10\10\4\4\10\10\1\1\1\1\1\1\1\1", 128, &state, &h);
	else
		change_entry(data + s.sh_offset, s.sh_size, (const uint8_t *)"\1\1\2", 4, &state, &h);
	return size;
}

static uint64_t hash(const char *name, uint64_t salt)
{
	uint64_t h = salt * 0x9e3779b97f4a7c15u + 0xcbf29ce484222325u;
	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3u;
	return h ^ h >> 29;
}

static struct usp_error *resolve(void *context, const struct payload_reference *reference,
				 struct payload_value *value)
{
	uint64_t base = *(uint64_t *)context, h = hash(reference->name, base);
	if (h % 61 == 0)
		return usp_errorf(USP_NOT_FOUND, "%s is nowhere", reference->name);
	if (reference->version && !*reference->version)
		abort();
	if (h % 7)
		value->address = h % 3 ? base + (h & 0x3ffffff) : h;
	value->tls_module = h % 11 ? 1 : 0;
	value->tls_offset = h & 0xffff;
	value->tls_static = h % 5;
	value->tls_tpoff = -(int64_t)(h & 0xffff);
	return NULL;
}

static void check_image(const struct payload *payload, const struct payload_image *image, uint64_t size)
{
	if (image->size != size || image->size % 4096)
		abort();
	uint64_t end = 0;
	for (int i = 0; i < PAYLOAD_SEGMENTS; i++) {
		if (image->segments[i].offset != end)
			abort();
		end += image->segments[i].size;
	}
	if (end != size || image->text_start < image->base || image->text_end > image->base + size)
		abort();
	for (size_t i = 0; i < payload->n_functions; i++) {
		const struct payload_function *f = &payload->functions[i];
		if (f->is_nop)
			continue;
		uint64_t at = payload_image_address(payload, image, f->replacement);
		if (at < image->text_start || at >= image->text_end ||
		    f->replacement_size > image->text_end - at)
			abort();
	}
	for (size_t i = 0; i < payload->n_hooks; i++) {
		uint64_t at = payload_image_address(payload, image, payload->hooks[i].place);
		if (at < image->text_start || at >= image->text_end)
			abort();
	}
	for (size_t i = 0; i < image->n_functions; i++) {
		if (strlen(image->functions[i].name) > 4095 ||
		    image->functions[i].address < image->text_start)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t bases[] = {0x10000, 0x555555554000, 0x7ffff0000000};
	for (int finished = 0; finished < 2; finished++) {
		struct payload *payload = NULL;
		struct usp_error *error = payload_read(data, size, finished, &payload);
		if (!error != !!payload)
			abort();
		usp_error_destroy(error);
		if (!payload)
			continue;
		uint64_t image_size;
		error = payload_image_size(payload, &image_size);
		if (error)
			abort();
		/* .bss may be large and is not interesting: one base is enough for it. */
		for (size_t i = 0; i < (image_size > 1 << 20 ? 1 : 3); i++) {
			struct payload_image *image = NULL;
			uint64_t base = bases[i];
			error = payload_image_build(payload, base, resolve, &base, &image);
			if (!error != !!image)
				abort();
			if (image)
				check_image(payload, image, image_size);
			usp_error_destroy(error);
			payload_image_destroy(image);
		}
		payload_destroy(payload);
	}
	return 0;
}

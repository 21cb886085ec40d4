// SPDX-License-Identifier: MIT
#include "payload/frame.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define frame_bad(...) usp_errorf(USP_BAD_PAYLOAD, __VA_ARGS__)

/* DW_EH_PE_… as the LSB has them. */
#define PE_FORMAT   0x0f
#define PE_APPLY    0x70
#define PE_ABSPTR   0x00
#define PE_UDATA4   0x03
#define PE_SDATA4   0x0b
#define PE_PCREL    0x10
#define PE_DATAREL  0x30
#define PE_INDIRECT 0x80
#define PE_OMIT	    0xff

/* A cursor that cannot leave its end; bad stays set. */
struct cursor {
	const uint8_t *data;
	size_t position, end;
	bool bad;
};

static const uint8_t *cursor_bytes(struct cursor *c, size_t n)
{
	if (c->bad || c->end - c->position < n) {
		c->bad = true;
		return NULL;
	}
	const uint8_t *p = c->data + c->position;
	c->position += n;
	return p;
}

static uint64_t cursor_number(struct cursor *c, size_t width)
{
	const uint8_t *p = cursor_bytes(c, width);
	uint64_t value = 0;
	for (size_t i = 0; p && i < width; i++)
		value |= (uint64_t)p[i] << 8 * i;
	return value;
}

/* Also skips a signed one. */
static uint64_t cursor_uleb(struct cursor *c)
{
	uint64_t value = 0;
	for (unsigned shift = 0; !c->bad; shift += 7) {
		uint64_t byte = cursor_number(c, 1);
		if (shift < 64)
			value |= (byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	return value;
}

/* Width of a pointer of that encoding, 0: none that compilers use here. */
static size_t pointer_width(uint8_t encoding)
{
	if ((encoding & PE_APPLY) != 0 && (encoding & PE_APPLY) != PE_PCREL)
		return 0;
	switch (encoding & PE_FORMAT) {
	case 0x00:
	case 0x04:
	case 0x0c:
		return 8;
	case 0x03:
	case 0x0b:
		return 4;
	case 0x02:
	case 0x0a:
		return 2;
	default:
		return 0;
	}
}

/* The pointer at the cursor; the record lies at address. */
static uint64_t cursor_pointer(struct cursor *c, uint8_t encoding, uint64_t address)
{
	size_t width = pointer_width(encoding);
	uint64_t at = address + c->position, value = cursor_number(c, width);
	if (encoding & 0x08 && width < 8 && value >> (8 * width - 1))
		value |= ~0ull << 8 * width;
	return (encoding & PE_APPLY) == PE_PCREL ? value + at : value;
}

/* Begins a record at offset: its cursor behind the length, ending at its end. */
static struct usp_error *record_open(const uint8_t *data, size_t size, size_t offset, struct cursor *c)
{
	if (offset > size || size - offset < 8)
		return frame_bad("unwind record at 0x%zx is cut off", offset);
	*c = (struct cursor){.data = data, .position = offset, .end = size};
	uint64_t length = cursor_number(c, 4);
	if (!length)
		return frame_bad("unwind records end (length 0) at 0x%zx, in their middle", offset);
	if (length == 0xffffffff)
		return frame_bad("unwind record at 0x%zx has a 64 bit length", offset);
	if (length < 4 || length % 4 || length > size - c->position)
		return frame_bad("unwind record at 0x%zx: length 0x%llx is not right", offset,
				 (unsigned long long)length);
	c->end = c->position + length;
	return NULL;
}

/* Reads a CIE for the pointer encoding of its FDEs. */
static struct usp_error *cie_read(const uint8_t *data, size_t size, size_t offset, uint8_t *encoding)
{
	struct cursor c;
	struct usp_error *error = record_open(data, size, offset, &c);
	if (error)
		return error;
	*encoding = PE_ABSPTR;
	if (cursor_number(&c, 4))
		return frame_bad("unwind record at 0x%zx is not a CIE", offset);
	uint64_t version = cursor_number(&c, 1);
	const char *augmentation = (const char *)c.data + c.position;
	size_t length = c.bad ? 0 : strnlen(augmentation, c.end - c.position);
	cursor_bytes(&c, length + 1);
	if (c.bad || (version != 1 && version != 3) || (length && *augmentation != 'z'))
		return frame_bad("CIE at 0x%zx: unknown version or augmentation", offset);
	cursor_uleb(&c); /* code alignment */
	cursor_uleb(&c); /* data alignment */
	if (version == 1)
		cursor_number(&c, 1);
	else
		cursor_uleb(&c); /* return address register */
	if (length) {
		uint64_t n = cursor_uleb(&c);
		if (c.bad || n > c.end - c.position)
			return frame_bad("CIE at 0x%zx: augmentation data is cut off", offset);
		c.end = c.position + n;
	}
	for (size_t i = 1; i < length; i++) {
		uint8_t e;
		switch (augmentation[i]) {
		case 'R':
			*encoding = (uint8_t)cursor_number(&c, 1);
			break;
		case 'L':
			cursor_number(&c, 1);
			break;
		case 'P':
			e = (uint8_t)cursor_number(&c, 1);
			if (!pointer_width(e))
				return frame_bad("CIE at 0x%zx: personality encoding 0x%x", offset, e);
			cursor_bytes(&c, pointer_width(e));
			break;
		case 'S':
			break;
		default:
			return frame_bad("CIE at 0x%zx: unknown augmentation '%c' (0x%x)", offset,
					 augmentation[i] >= 0x20 && augmentation[i] < 0x7f ? augmentation[i]
											   : '?',
					 (uint8_t)augmentation[i]);
		}
	}
	if (c.bad || *encoding & PE_INDIRECT || !pointer_width(*encoding))
		return frame_bad("CIE at 0x%zx: cut off, or pointer encoding 0x%x", offset, *encoding);
	return NULL;
}

/* Walks all records. frames NULL: only counts. */
static struct usp_error *walk(const uint8_t *data, size_t size, uint64_t address,
			      struct payload_frame *frames, size_t max, size_t *n)
{
	size_t count = 0, last_cie = SIZE_MAX;
	uint8_t encoding = 0;
	for (size_t offset = 0; offset < size;) {
		struct cursor c;
		struct usp_error *error = record_open(data, size, offset, &c);
		if (error)
			return error;
		size_t id_at = c.position, id = cursor_number(&c, 4);
		if (id) {
			if (id > id_at)
				return frame_bad("FDE at 0x%zx: its CIE would lie before the section",
						 offset);
			if (id_at - id != last_cie) {
				error = cie_read(data, size, id_at - id, &encoding);
				if (error)
					return usp_error_prefix(error, "FDE at 0x%zx", offset);
				last_cie = id_at - id;
			}
			struct payload_frame frame = {.record = address + offset};
			frame.start = cursor_pointer(&c, encoding, address);
			frame.size = cursor_number(&c, pointer_width(encoding));
			if (c.bad)
				return frame_bad("FDE at 0x%zx is cut off", offset);
			if (frames && count == max)
				return frame_bad("more unwind records than before relocation (at 0x%zx)",
						 offset);
			if (frames)
				frames[count] = frame;
			count++;
		} else {
			error = cie_read(data, size, offset, &encoding);
			if (error)
				return error;
			last_cie = offset;
		}
		offset = c.end;
	}
	*n += count;
	return NULL;
}

struct usp_error *payload_frames_count(const uint8_t *data, size_t size, size_t *n)
{
	return walk(data, size, 0, NULL, 0, n);
}

static int compare_frames(const void *a, const void *b)
{
	const struct payload_frame *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->record < y->record ? -1 : x->record > y->record;
}

struct usp_error *payload_frames_read(const uint8_t *data, size_t size, uint64_t address,
				      struct payload_frame *frames, size_t n)
{
	size_t count = 0;
	struct usp_error *error = walk(data, size, address, frames, n, &count);
	if (error)
		return error;
	if (count != n)
		return frame_bad("%zu unwind records, %zu before relocation", count, n);
	qsort(frames, n, sizeof(*frames), compare_frames);
	return NULL;
}

const struct payload_frame *payload_frames_find(const struct payload_frame *frames, size_t n,
						uint64_t address)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (address < frames[middle].start)
			high = middle;
		else if (address - frames[middle].start >= frames[middle].size)
			low = middle + 1;
		else
			return &frames[middle];
	}
	return NULL;
}

static void put32(uint8_t *to, uint64_t value)
{
	uint32_t low = (uint32_t)value;
	memcpy(to, &low, sizeof(low));
}

void payload_frames_write_table(const struct payload_frame *frames, size_t n, uint64_t address,
				uint64_t eh_frame, uint8_t *table)
{
	table[0] = 1; /* version */
	table[1] = PE_PCREL | PE_SDATA4;
	table[2] = PE_UDATA4;
	table[3] = PE_DATAREL | PE_SDATA4;
	put32(table + 4, eh_frame - (address + 4));
	put32(table + 8, n);
	for (size_t i = 0; i < n; i++) {
		put32(table + PAYLOAD_FRAME_HEADER_SIZE + i * PAYLOAD_FRAME_ENTRY_SIZE,
		      frames[i].start - address);
		put32(table + PAYLOAD_FRAME_HEADER_SIZE + i * PAYLOAD_FRAME_ENTRY_SIZE + 4,
		      frames[i].record - address);
	}
}

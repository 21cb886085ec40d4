// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "payload/image.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "payload/apply.h"
#include "payload/file.h"
#include "payload/frame.h"
#include "payload/image_elf.h"
#include "payload/layout.h"

struct build {
	const struct payload_file *file;
	struct payload_image *image;
	payload_resolve_fn *resolve;
	void *context;
};

static void copy_sections(struct build *b)
{
	const struct payload_layout *layout = &b->file->layout;
	memset(b->image->bytes + layout->segment[1], 0xcc,
	       layout->segment_size[1]); /* int3 between functions */
	memset(b->image->bytes + layout->words, 0, layout->words_size);
	for (uint32_t i = 1; i < b->file->n_sections; i++) {
		const struct payload_section *s = &b->file->sections[i];
		if (payload_section_is_mapped(s) && s->data)
			memcpy(b->image->bytes + s->image_offset, s->data, s->size);
	}
}

/* Leaves out frames that cover nothing of the text (of discarded COMDAT functions); refuses ones that
 * overlap. */
static struct usp_error *keep_text_frames(const struct payload_image *image, struct payload_frame *frames,
					  size_t *n)
{
	size_t kept = 0;
	for (size_t i = 0; i < *n; i++) {
		const struct payload_frame *f = &frames[i];
		if (!f->size || f->start < image->text_start || f->start >= image->text_end)
			continue;
		if (f->size > image->text_end - f->start)
			return payload_bad(".eh_frame: an FDE covers 0x%llx bytes at image offset 0x%llx, "
					   "past the code's end",
					   (unsigned long long)f->size,
					   (unsigned long long)(f->start - image->base));
		if (kept && f->start - frames[kept - 1].start < frames[kept - 1].size)
			return payload_bad(".eh_frame: two FDEs cover the code at image offset 0x%llx",
					   (unsigned long long)(f->start - image->base));
		frames[kept++] = *f;
	}
	*n = kept;
	return NULL;
}

/* Every function can be unwound through: else a stack walk would end in it, and its callers would never be
 * seen. */
static struct usp_error *check_unwinding(const struct build *b, const struct payload_frame *frames, size_t n)
{
	for (uint32_t i = 0; i < b->file->n_functions; i++) {
		const struct payload_symbol *s = &b->file->symbols[b->file->functions[i]];
		uint64_t start = b->image->base + b->file->sections[s->section].image_offset + s->value;
		if (!payload_frames_find(frames, n, start) ||
		    !payload_frames_find(frames, n, start + s->size - 1))
			return payload_bad("function %s has no unwind information (.eh_frame): compile with "
					   "-fasynchronous-unwind-tables",
					   s->name);
	}
	return NULL;
}

static struct usp_error *finish_frames(struct build *b)
{
	const struct payload_layout *layout = &b->file->layout;
	struct payload_image *image = b->image;
	if (!layout->eh_frame_hdr_size)
		return check_unwinding(b, NULL, 0);
	uint64_t offset = layout->kind_offset[PAYLOAD_SECTION_EH_FRAME],
		 size = layout->kind_size[PAYLOAD_SECTION_EH_FRAME];
	size_t n = layout->n_frames;
	_cleanup_free_ struct payload_frame *frames = calloc(n + 1, sizeof(*frames));
	if (!frames)
		return &usp_error_no_memory;
	struct usp_error *error =
		payload_frames_read(image->bytes + offset, size - 4, image->base + offset, frames, n);
	error = usp_error_prefix(error, "relocated .eh_frame");
	if (!error)
		error = keep_text_frames(image, frames, &n);
	if (!error)
		error = check_unwinding(b, frames, n);
	if (error)
		return error;
	image->eh_frame = image->base + offset;
	image->eh_frame_size = size;
	payload_frames_write_table(frames, n, image->base + layout->eh_frame_hdr, image->eh_frame,
				   image->bytes + layout->eh_frame_hdr);
	return NULL;
}

static struct usp_error *fill(struct build *b)
{
	const struct payload_layout *layout = &b->file->layout;
	struct payload_image *image = b->image;
	static const int prot[PAYLOAD_SEGMENTS] = {PROT_READ, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE};
	for (int i = 0; i < PAYLOAD_SEGMENTS; i++)
		image->segments[i] =
			(struct payload_segment){layout->segment[i], layout->segment_size[i], prot[i]};
	image->text_start = image->base + layout->segment[PAYLOAD_SEGMENT_TEXT];
	image->text_end = image->text_start;
	if (layout->segment_size[PAYLOAD_SEGMENT_TEXT])
		image->text_end = image->base + layout->words;
	copy_sections(b);
	struct usp_error *error = payload_apply_relocations(b->file, b->image, b->resolve, b->context);
	if (!error)
		error = finish_frames(b);
	return error ? error : payload_image_write_elf(b->file, image);
}

struct usp_error *payload_image_size(const struct payload *payload, uint64_t *size)
{
	*size = payload->file->layout.size;
	return NULL;
}

struct usp_error *payload_image_build(const struct payload *payload, uint64_t base,
				      payload_resolve_fn *resolve, void *context, struct payload_image **ret)
{
	const struct payload_file *file = payload->file;
	uint64_t size = file->layout.size;
	if (!base || base % PAYLOAD_PAGE || base > INT64_MAX || size > INT64_MAX - base)
		return usp_errorf(USP_USAGE, "an image of 0x%llx bytes cannot be at 0x%llx",
				  (unsigned long long)size, (unsigned long long)base);
	struct payload_image *image = calloc(1, sizeof(*image));
	if (!image)
		return &usp_error_no_memory;
	image->base = base;
	image->size = size;
	image->bytes = calloc(1, size);
	struct build b = {.file = file, .image = image, .resolve = resolve, .context = context};
	struct usp_error *error = image->bytes ? fill(&b) : &usp_error_no_memory;
	if (error) {
		payload_image_destroy(image);
		return error;
	}
	*ret = image;
	return NULL;
}

void payload_image_destroy(struct payload_image *image)
{
	if (!image)
		return;
	free(image->bytes);
	free(image->functions);
	free(image);
}

uint64_t payload_image_address(const struct payload *payload, const struct payload_image *image,
			       struct payload_place place)
{
	return image->base + payload->file->sections[place.section].image_offset + place.offset;
}

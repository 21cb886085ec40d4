/* SPDX-License-Identifier: MIT */
#include "core/site.h"

#include "core/errno.h"

static void expect(struct engine_site *site, const uint8_t *code)
{
	site->has_expected = true;
	for (size_t i = 0; i < site->length; i++)
		site->expected[i] = code[i];
}

int site_divert(const struct arch_ops *arch, uint64_t entry, const uint8_t *code, size_t n, uint64_t size,
		uint64_t to, struct engine_site *site)
{
	struct arch_jump jump;
	int r = arch->divert(entry, code, n, size, to, &jump);
	if (r < 0)
		return r;
	if (n < (size_t)jump.offset + jump.length)
		return -CORE_ENOSPC;
	*site = (struct engine_site){.address = entry + jump.offset, .length = jump.length};
	for (size_t i = 0; i < jump.length; i++)
		site->new_bytes[i] = jump.bytes[i];
	expect(site, code + jump.offset);
	return 0;
}

int site_blank(const struct arch_ops *arch, uint64_t entry, const uint8_t *code, size_t n, size_t offset,
	       size_t length, arch_decode_fn *decode, void *context, struct engine_site *site)
{
	if (entry > UINT64_MAX - n)
		return -CORE_EINVAL;
	int r = arch->check_boundaries(code, n, offset, length, decode, context);
	if (r < 0)
		return r;
	*site = (struct engine_site){.address = entry + offset, .length = (uint8_t)length};
	r = arch->encode_nops(site->new_bytes, length);
	if (r < 0)
		return r;
	expect(site, code + offset);
	return 0;
}

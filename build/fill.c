// SPDX-License-Identifier: MIT
#include "build/fill.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <Zydis/Zydis.h>
#include <usplice/payload.h>

#include "build/log.h"
#include "core/arch/arch.h"
#include "payload/hash.h"

#define FUNCTION_MAX (16u << 20) /* bytes, as upload accepts */

/* How a record is called in messages. */
static const char *record_name(const struct payload_function *function, char buf[32])
{
	if (function->name)
		return function->name;
	snprintf(buf, 32, "0x%" PRIx64, function->old_address);
	return buf;
}

static int warn_clone(void *context, const struct symbol *symbol)
{
	build_log(context, USP_LOG_WARNING,
		  "the compiler made a copy %s, with other arguments; it is not replaced, and who calls it "
		  "runs the old code",
		  symbol->name);
	return 0;
}

/* For arch_ops.check_boundaries. */
static int decode_length(void *context, const uint8_t *code, size_t n)
{
	ZydisDecodedInstruction instruction;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(context, NULL, code, n, &instruction)))
		return -1;
	return instruction.length;
}

static struct usp_error *check_nop(const struct payload_function *function, const char *name,
				   const uint8_t *code, uint64_t size)
{
	uint64_t end = (uint64_t)function->nop_offset + function->nop_length;
	if (end > size)
		return usp_errorf(USP_MISMATCH,
				  "%s: bytes %u to %" PRIu64 " are to be blanked, and it has only %" PRIu64,
				  name, function->nop_offset, end, size);
	ZydisDecoder decoder;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (arch_x86_64.check_boundaries(code, size, function->nop_offset, function->nop_length,
					 decode_length, &decoder))
		return usp_errorf(USP_MISMATCH,
				  "%s: blanking %u bytes at offset %u would cut an instruction in two; "
				  "`objdump -d` shows where instructions begin",
				  name, function->nop_length, function->nop_offset);
	return NULL;
}

static struct usp_error *check_jump(const char *name, const uint8_t *code, uint64_t size)
{
	struct arch_jump jump;
	/* Where it goes to does not matter for whether there is room. */
	if (!arch_x86_64.divert(0, code, size, size, 0, &jump))
		return NULL;
	return usp_errorf(USP_UNSUPPORTED,
			  "%s has only %" PRIu64
			  " bytes, too few for a jump (5, after an endbr64): replace its callers instead",
			  name, size);
}

/* The old function's code, checked to be something that can be patched. The caller frees *code. */
static struct usp_error *read_function(const struct against *against, const char *name,
				       const struct symbol *symbol, uint8_t **code)
{
	uint64_t address = symbol->address - against->module->bias;
	if (symbol->type == STT_GNU_IFUNC)
		return usp_errorf(USP_UNSUPPORTED,
				  "%s is an IFUNC: it only chooses the function that is called; replace that "
				  "one, under its own name",
				  name);
	if (!symbol->size)
		return usp_errorf(USP_UNSUPPORTED,
				  "%s has no size in %s (hand-written assembler?): how far it reaches is not "
				  "known, so it cannot be replaced",
				  name, against->name);
	if (symbol->size > FUNCTION_MAX)
		return usp_errorf(USP_UNSUPPORTED, "%s has %" PRIu64 " bytes, more than any function", name,
				  symbol->size);
	*code = malloc(symbol->size);
	if (!*code)
		return &usp_error_no_memory;
	int r = module_read_file(against->module, address, *code, symbol->size);
	if (r)
		return usp_error_errno(USP_MISMATCH, -r,
				       "%s: its %" PRIu64 " bytes at 0x%" PRIx64 " cannot be read from %s",
				       name, symbol->size, address, against->name);
	return NULL;
}

static struct usp_error *fill_one(const struct usp_cc_options *options, const struct against *against,
				  const struct payload_function *function, uint8_t *record)
{
	char buf[32];
	const char *name = record_name(function, buf);
	struct symbol symbol;
	struct usp_error *error = against_find_function(against->module, function, &symbol);
	_cleanup_free_ uint8_t *code = NULL;
	if (!error)
		error = read_function(against, name, &symbol, &code);
	if (!error)
		error = function->is_nop ? check_nop(function, name, code, symbol.size)
					 : check_jump(name, code, symbol.size);
	if (!error && function->name && !function->is_nop)
		error = symbol_clones(against->module, function->name, function->file, warn_clone,
				      (void *)options, NULL);
	if (error)
		return error;
	if (function->old_size && function->old_size != symbol.size)
		return usp_errorf(USP_MISMATCH,
				  "%s has %" PRIu64 " bytes in %s, and its record says %" PRIu64, name,
				  symbol.size, against->name, function->old_size);

	struct usplice_function raw;
	memcpy(&raw, record, sizeof(raw));
	raw.old_address = symbol.address - against->module->bias;
	raw.old_size = symbol.size;
	uint32_t offset = function->is_nop ? function->nop_offset : 0;
	uint64_t length = function->is_nop ? function->nop_length : symbol.size;
	if (length > USPLICE_EXPECTED_MAX)
		length = USPLICE_EXPECTED_MAX;
	memset(raw.expected, 0, sizeof(raw.expected));
	memcpy(raw.expected, code + offset, length);
	raw.expected_length = (uint8_t)length;
	raw.has_hash = 1;
	int r = payload_hash(code, symbol.size, raw.hash);
	if (r)
		return usp_error_errno(USP_FAILED, -r, "cannot hash %s", name);
	memcpy(record, &raw, sizeof(raw));
	build_log(options, USP_LOG_INFO, "%s: %" PRIu64 " bytes at 0x%" PRIx64 " in %s", name, symbol.size,
		  raw.old_address, against->name);
	return NULL;
}

struct usp_error *fill_records(const struct usp_cc_options *options, const struct against *against,
			       const struct payload *payload, uint8_t *object, size_t size)
{
	for (size_t i = 0; i < payload->n_functions; i++) {
		const struct payload_function *function = &payload->functions[i];
		if (function->record_offset > size ||
		    size - function->record_offset < sizeof(struct usplice_function))
			return usp_errorf(USP_BAD_PAYLOAD, "record %zu lies outside of the object", i);
		struct usp_error *error =
			fill_one(options, against, function, object + function->record_offset);
		if (error)
			return error;
	}
	return NULL;
}

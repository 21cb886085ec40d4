// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <Zydis/Zydis.h>

#include "core/arch/arch.h"
#include "payload/hash.h"

/* ---- the file ---- */

static struct usp_error *read_file(const char *file, uint8_t **bytes, size_t *size)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot open the payload file %s", file);
	if (!S_ISREG(st.st_mode) || st.st_size > PAYLOAD_FILE_MAX)
		return usp_errorf(USP_BAD_PAYLOAD, "%s is not a regular file of at most %u bytes", file,
				  PAYLOAD_FILE_MAX);
	uint8_t *buffer = malloc((size_t)st.st_size + 1);
	if (!buffer)
		return &usp_error_no_memory;
	size_t have = 0;
	while (have < (size_t)st.st_size) {
		ssize_t n = read(fd, buffer + have, (size_t)st.st_size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			free(buffer);
			return usp_error_errno(USP_FAILED, n ? errno : EIO, "cannot read the payload file %s",
					       file);
		}
		have += (size_t)n;
	}
	*bytes = buffer;
	*size = have;
	return NULL;
}

static struct usp_error *choose_name(struct plan *plan, const char *file)
{
	if (plan->payload->name[0]) {
		memcpy(plan->name, plan->payload->name, sizeof(plan->name));
		return NULL;
	}
	const char *base = basename(file);
	size_t length = strlen(base);
	if (length > 4 && !strcmp(base + length - 4, ".usp"))
		length -= 4;
	if (!length || length > PAYLOAD_NAME_MAX)
		return usp_errorf(
			USP_BAD_PAYLOAD,
			"%s names no payload, and its file name cannot serve: 1 to %d characters are allowed",
			file, PAYLOAD_NAME_MAX);
	memcpy(plan->name, base, length);
	return NULL;
}

/* ---- the module ---- */

static struct usp_error *find_module(struct session *session, struct plan *plan)
{
	const struct payload *payload = plan->payload;
	char wanted[2 * PAYLOAD_BUILD_ID_MAX + 1], has[2 * BUILD_ID_MAX + 1];
	size_t matches = 0;
	for (size_t i = 0; i < session->modules->n; i++) {
		struct module *module = session->modules->v[i];
		if (module->build_id_size && module->build_id_size == payload->target_build_id_size &&
		    !memcmp(module->build_id, payload->target_build_id, module->build_id_size)) {
			plan->module = module;
			matches++;
		}
	}
	build_id_format(payload->target_build_id, payload->target_build_id_size, wanted);
	if (matches == 1)
		return NULL;
	plan->module = NULL;
	if (matches > 1)
		return usp_errorf(USP_AMBIGUOUS,
				  "%zu modules of process %d have build-id %s; usplice patches only a module "
				  "that is there once",
				  matches, session->target->pid, wanted);
	for (size_t i = 0; i < session->modules->n; i++) {
		struct module *module = session->modules->v[i];
		if (!payload->target_name || strcmp(module->name, payload->target_name))
			continue;
		build_id_format(module->build_id, module->build_id_size, has);
		return usp_errorf(
			USP_MISMATCH,
			"the payload is for %s with build-id %s, but process %d runs %s with build-id %s: "
			"build the payload against the binary that runs (usplice cc --target %d)",
			payload->target_name, wanted, session->target->pid, module->name,
			module->build_id_size ? has : "(none)", session->target->pid);
	}
	build_id_format(session->modules->n ? session->modules->v[0]->build_id : NULL,
			session->modules->n ? session->modules->v[0]->build_id_size : 0, has);
	return usp_errorf(USP_MISMATCH,
			  "the payload is for %s with build-id %s; process %d has no such module (its "
			  "executable's build-id is %s)",
			  payload->target_name ? payload->target_name : "a module", wanted,
			  session->target->pid, has[0] ? has : "(none)");
}

/* ---- one function ---- */

/*
 * The bytes of [address, address + size) as they are when nothing is applied: memory, with the originals of
 * every site that an applied payload wrote. Each site must hold what the registry says it holds.
 */
static struct usp_error *read_pristine(const struct session *session, uint64_t address, size_t size,
				       uint8_t *bytes)
{
	int r = target_read(session->target, address, bytes, size);
	if (r < 0)
		return usp_error_errno(USP_MISMATCH, -r, "its code at 0x%lx cannot be read", address);
	const struct registry *registry = session->registry;
	for (uint32_t position = registry_height(registry); position; position--) {
		const struct record *record = registry->records[registry_at_position(registry, position)];
		for (size_t i = 0; i < record->n_functions; i++) {
			const struct record_function *function = &record->functions[i];
			for (uint32_t k = 0; k < function->site_length; k++)
				if (function->site + k >= address && function->site + k < address + size)
					bytes[function->site + k - address] = function->original[k];
		}
	}
	return NULL;
}

/* For arch_ops.check_boundaries. */
static int decode_length(void *context, const uint8_t *code, size_t n)
{
	ZydisDecoder *decoder = context;
	ZydisDecodedInstruction instruction;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder, NULL, code, n, &instruction)))
		return -EINVAL;
	return instruction.length;
}

/* NOP records blank whole instructions: both ends must be instruction boundaries of the old function. */
static struct usp_error *check_boundaries(const uint8_t *code, uint64_t size, uint64_t offset,
					  uint64_t length)
{
	ZydisDecoder decoder;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (!arch_x86_64.check_boundaries(code, size, offset, length, decode_length, &decoder))
		return NULL;
	return usp_errorf(USP_MISMATCH,
			  "blanking the %lu bytes at offset %lu would cut an instruction in two", length,
			  offset);
}

static struct usp_error *overlaps(const struct session *session, const struct plan *plan, size_t index)
{
	const struct plan_function *function = &plan->functions[index];
	uint64_t start = function->site, end = start + function->site_length;
	for (size_t i = 0; i < index; i++) {
		const struct plan_function *other = &plan->functions[i];
		if (!other->error && start < other->site + other->site_length && other->site < end)
			return usp_errorf(USP_BAD_PAYLOAD, "it is replaced twice in this payload (%s)",
					  other->name);
	}
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++) {
		const struct record *record = session->registry->records[i];
		for (size_t k = 0; record && k < record->n_functions; k++) {
			const struct record_function *other = &record->functions[k];
			bool same = other->site == start && other->site_length == function->site_length;
			if (!same && start < other->site + other->site_length && other->site < end)
				return usp_errorf(USP_EXISTS,
						  "its bytes at 0x%lx overlap those that payload %s rewrites "
						  "in %s at 0x%lx",
						  start, record->name, other->name, other->site);
		}
	}
	return NULL;
}

static struct usp_error *locate(const struct plan *plan, const struct payload_function *from,
				struct plan_function *to)
{
	if (from->old_address) {
		to->old_address = from->old_address + plan->module->bias;
	} else {
		struct symbol symbol;
		struct usp_error *error =
			symbol_find(plan->module, from->name, from->file, STT_FUNC, &symbol);
		if (error)
			return error;
		if (symbol.size != from->old_size)
			return usp_errorf(USP_MISMATCH,
					  "it has %lu bytes, the payload was made for one of %lu",
					  symbol.size, from->old_size);
		to->old_address = symbol.address;
	}
	to->old_size = from->old_size;
	if (to->old_address + to->old_size < to->old_address || to->old_address < plan->module->start ||
	    to->old_address + to->old_size > plan->module->end)
		return usp_errorf(USP_MISMATCH, "its address 0x%lx lies outside of %s", to->old_address,
				  plan->module->name);
	return NULL;
}

static struct usp_error *check_mapping(const struct session *session, const struct plan_function *function)
{
	uint64_t end = function->old_address + function->old_size;
	for (uint64_t at = function->old_address; at < end;) {
		const struct mapping *mapping = maps_find(&session->maps, at);
		if (!mapping || !(mapping->prot & PROT_EXEC))
			return usp_errorf(USP_MISMATCH, "its code at 0x%lx is not in executable memory", at);
		if (mapping->shared)
			return usp_errorf(
				USP_UNSUPPORTED,
				"its code lies in a shared mapping: writing it would change other processes");
		at = mapping->end;
	}
	return NULL;
}

static struct usp_error *check_function(struct session *session, struct plan *plan, size_t index)
{
	const struct payload_function *from = &plan->payload->functions[index];
	struct plan_function *to = &plan->functions[index];
	struct usp_error *error = locate(plan, from, to);
	if (!error)
		error = check_mapping(session, to);
	if (error)
		return error;
	if (to->old_size > 16u << 20)
		return usp_errorf(USP_MISMATCH, "its size of %lu bytes is no function's", to->old_size);

	_cleanup_free_ uint8_t *code = malloc(to->old_size);
	if (!code)
		return &usp_error_no_memory;
	error = read_pristine(session, to->old_address, to->old_size, code);
	if (error)
		return error;

	uint64_t offset = from->nop_offset;
	to->site_length = from->nop_length;
	if (from->is_nop) {
		if (offset + from->nop_length > to->old_size)
			return usp_errorf(USP_MISMATCH,
					  "bytes %lu to %lu are to be blanked, but it has only %lu", offset,
					  offset + from->nop_length, to->old_size);
	} else {
		/* Where the jump goes to is not known yet; where it stands is. */
		struct arch_jump jump;
		int r = arch_x86_64.divert(to->old_address, code, to->old_size, to->old_size, to->old_address,
					   &jump);
		if (r < 0)
			return usp_errorf(USP_MISMATCH,
					  "it has only %lu bytes, too few for a jump: it cannot be replaced; "
					  "replace its callers",
					  to->old_size);
		offset = jump.offset;
		to->site_length = jump.length;
	}
	to->site = to->old_address + offset;
	if (from->expected_length &&
	    ((from->is_nop ? offset : 0) + from->expected_length > to->old_size ||
	     memcmp(code + (from->is_nop ? offset : 0), from->expected, from->expected_length)))
		return usp_errorf(USP_MISMATCH,
				  "its bytes at 0x%lx are not those that the payload was made for (another "
				  "patcher, a breakpoint, or a different build)",
				  to->old_address);
	if (from->hash) {
		uint8_t hash[32];
		if (payload_hash(code, to->old_size, hash) < 0)
			return usp_errorf(USP_FAILED, "libsodium cannot be used");
		if (memcmp(hash, from->hash, sizeof(hash)))
			return usp_errorf(
				USP_MISMATCH,
				"its code in memory (%lu bytes at 0x%lx) is not what the payload was made "
				"for (another patcher, a breakpoint, or a different build)",
				to->old_size, to->old_address);
	}
	if (from->is_nop)
		error = check_boundaries(code, to->old_size, offset, to->site_length);
	if (!error)
		error = overlaps(session, plan, index);
	if (!error)
		error = function_ranges(plan->module, to->old_address, to->old_size, &to->ranges);
	memcpy(to->original, code + offset, to->site_length);
	return error;
}

/* ---- the payload as a whole ---- */

static struct usp_error *check_whole(struct session *session, struct plan *plan)
{
	const struct registry *registry = session->registry;
	const struct payload *payload = plan->payload;
	if (registry_find_name(registry, plan->name) >= 0)
		return usp_errorf(USP_EXISTS,
				  "a payload named %s is in process %d already: unload it first, or give "
				  "this one another name",
				  plan->name, session->target->pid);
	int other = registry_find_build_id(registry, payload->build_id, payload->build_id_size);
	if (other >= 0)
		return usp_errorf(
			USP_EXISTS,
			"the same payload (same build-id) is in process %d already, under the name %s",
			session->target->pid, registry->records[other]->name);
	if (registry_find_free(registry) < 0)
		return usp_errorf(USP_UNSUPPORTED,
				  "process %d holds %d payloads, which is the most: unload some",
				  session->target->pid, REGISTRY_PAYLOADS_MAX);
	return find_module(session, plan);
}

struct usp_error *plan_read_payload(const char *file, struct payload **ret)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	struct usp_error *error = read_file(file, &bytes, &size);
	if (error)
		return error;
	return usp_error_prefix(payload_read(bytes, size, true, ret), "%s", file);
}

struct usp_error *plan_create(struct session *session, const char *file, struct plan **ret)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	if (!plan)
		return &usp_error_no_memory;
	struct usp_error *error = plan_read_payload(file, &plan->payload);
	if (error) {
		free(plan);
		return error;
	}
	plan->functions = calloc(plan->payload->n_functions + 1, sizeof(*plan->functions));
	error = plan->functions ? choose_name(plan, file) : &usp_error_no_memory;
	for (size_t i = 0; !error && i < plan->payload->n_functions; i++) {
		const struct payload_function *function = &plan->payload->functions[i];
		int n = function->name ? asprintf(&plan->functions[i].name, "%s", function->name)
				       : asprintf(&plan->functions[i].name, "0x%lx", function->old_address);
		if (n < 0) {
			plan->functions[i].name = NULL;
			error = &usp_error_no_memory;
		}
	}
	if (error) {
		plan_destroy(plan);
		return error;
	}
	plan->error = check_whole(session, plan);
	for (size_t i = 0; plan->module && i < plan->payload->n_functions; i++)
		plan->functions[i].error = usp_error_prefix(check_function(session, plan, i), "function %s",
							    plan->functions[i].name);
	*ret = plan;
	return NULL;
}

void plan_destroy(struct plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; plan->functions && i < plan->payload->n_functions; i++) {
		free(plan->functions[i].name);
		range_set_deinit(&plan->functions[i].ranges);
		usp_error_destroy(plan->functions[i].error);
	}
	free(plan->functions);
	usp_error_destroy(plan->error);
	payload_destroy(plan->payload);
	free(plan);
}

struct usp_error *plan_take_error(struct plan *plan)
{
	struct usp_error **from = &plan->error;
	for (size_t i = 0; !*from && i < plan->payload->n_functions; i++)
		from = &plan->functions[i].error;
	struct usp_error *error = *from;
	*from = NULL;
	return error;
}

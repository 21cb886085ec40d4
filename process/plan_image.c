// SPDX-License-Identifier: MIT
/*
 * The part of a plan that needs an address: the image, with the target's symbols bound into it.
 */
#include <errno.h>
#include <string.h>

#include "process/clobber/clobber.h"
#include "process/plan.h"
#include "process/elf/tls.h"

#define REACH	      ((1ull << 31) - (1ull << 20)) /* bytes: a rel32, less what rounding and slots may take */
#define IFUNC_TIME_NS 1000000000ull

struct resolve_context {
	struct session *session;
	struct plan *plan;
	struct remote *remote;
};

static struct usp_error *run_ifunc_resolver(struct resolve_context *context, const char *name,
					    uint64_t resolver, uint64_t *address)
{
	if (!context->remote) {
		/* A dry run changes nothing, so it runs nothing either: any address in the module serves to
		 * try. */
		*address = resolver;
		return NULL;
	}
	const uint64_t none[6] = {0};
	struct usp_error *error =
		remote_call(context->remote, resolver, none, 0, now_ns() + IFUNC_TIME_NS, address);
	if (error)
		return usp_error_prefix(error, "resolving the IFUNC %s", name);
	const struct mapping *mapping = maps_find(&context->session->maps, *address);
	if (!mapping || !(mapping->prot & 4 /* PROT_EXEC */))
		return usp_errorf(USP_MISMATCH, "the resolver of IFUNC %s answered 0x%lx, which is no code",
				  name, *address);
	return NULL;
}

#define DTV_MODULES_MAX (1u << 20)

/*
 * A library that the program was started with has its thread-local block at one distance from every thread's
 * thread pointer. glibc's vector of blocks, reached from a thread's TCB, tells: an entry is {block, what to
 * free}, and only blocks that were allocated later have something to free. Other C libraries' vectors do not
 * look like this; what does not add up leaves the variable without a fixed offset, which is refused where one
 * is needed.
 */
static void look_into_dtv(struct resolve_context *context, struct resolved *resolved)
{
	const struct target *target = context->session->target;
	struct {
		uint64_t self, vector;
	} tcb;
	struct {
		uint64_t block, to_free;
	} entry;
	uint64_t generation_entries;
	uint64_t tp = remote_thread_pointer(context->remote);
	if (resolved->tls_module > DTV_MODULES_MAX || target_read(target, tp, &tcb, sizeof(tcb)) < 0 ||
	    tcb.self != tp)
		return;
	/* The entry before the first holds how many there are. */
	if (target_read(target, tcb.vector - sizeof(entry), &generation_entries, sizeof(generation_entries)) <
		    0 ||
	    generation_entries > DTV_MODULES_MAX || resolved->tls_module > generation_entries ||
	    target_read(target, tcb.vector + resolved->tls_module * sizeof(entry), &entry, sizeof(entry)) < 0)
		return;
	/* Below the thread pointer and near: where the static blocks lie on x86-64. */
	if (entry.to_free || entry.block >= tp || tp - entry.block > (1u << 20))
		return;
	resolved->tls_static = true;
	resolved->tls_tpoff = (int64_t)(entry.block + resolved->tls_offset - tp);
}

static bool is_glibc(const struct session *session)
{
	for (size_t i = 0; i < session->modules->n; i++)
		if (!strcmp(session->modules->v[i]->name, "libc.so.6"))
			return true;
	return false;
}

/* The builder has looked the symbol up already, in the file with this build-id. */
static struct usp_error *place(const struct resolve_context *context,
			       const struct payload_reference *reference, struct resolved *ret)
{
	struct module *module = context->plan->module;
	*ret = (struct resolved){.module = module, .type = reference->tls ? STT_TLS : STT_NOTYPE};
	if (reference->tls)
		return tls_resolve(context->session->modules, module, reference->name, reference->address,
				   ret) < 0
			       ? &usp_error_no_memory
			       : NULL;
	ret->address = reference->address + module->bias;
	if (ret->address < module->start || ret->address > module->end)
		return usp_errorf(USP_MISMATCH, "the address of %s, 0x%lx, lies outside of %s",
				  reference->name, ret->address, module->name);
	return NULL;
}

static struct usp_error *resolve(void *opaque, const struct payload_reference *reference,
				 struct payload_value *value)
{
	struct resolve_context *context = opaque;
	if (!strcmp(reference->name, PAYLOAD_SHADOW_SYMBOL)) {
		/* A dry run maps nothing: any address serves to try. */
		uint64_t shadow = context->session->registry->header.shadow;
		*value = (struct payload_value){.address = shadow ? shadow : context->plan->module->start};
		return NULL;
	}
	struct resolved resolved = {0};
	struct usp_error *error =
		reference->by_address
			? place(context, reference, &resolved)
			: symbol_resolve(context->session->modules, context->plan->module, reference->name,
					 reference->file, reference->version, &resolved);
	*value = (struct payload_value){0};
	if (error && reference->weak && error->code == USP_NOT_FOUND) {
		usp_error_destroy(error);
		return NULL;
	}
	if (error)
		return error;
	if (reference->tls != (resolved.type == STT_TLS))
		return usp_errorf(USP_MISMATCH, "%s is %sthread-local in the target and %s in the payload",
				  reference->name, resolved.type == STT_TLS ? "" : "not ",
				  reference->tls ? "is" : "is not");
	if (resolved.type == STT_TLS && !resolved.tls_static && resolved.tls_module &&
	    is_glibc(context->session)) {
		if (context->remote)
			look_into_dtv(context, &resolved);
		else
			resolved.tls_static =
				true; /* a dry run has no thread to ask: any offset serves to try */
	}
	value->address = resolved.address;
	value->tls_module = resolved.tls_module;
	value->tls_offset = resolved.tls_offset;
	value->tls_static = resolved.tls_static;
	value->tls_tpoff = resolved.tls_tpoff;
	if (!resolved.address && resolved.ifunc_resolver)
		return run_ifunc_resolver(context, reference->name, resolved.ifunc_resolver, &value->address);
	return NULL;
}

/* The old code of everything that the payload replaces. */
static struct usp_error *replaced_code(const struct plan *plan, struct range_set *set)
{
	for (size_t i = 0; i < plan->payload->n_functions; i++)
		for (size_t k = 0; k < plan->functions[i].ranges.n; k++)
			if (!plan->payload->functions[i].is_nop &&
			    range_set_add(set, plan->functions[i].ranges.v[k].start,
					  plan->functions[i].ranges.v[k].end) < 0)
				return &usp_error_no_memory;
	range_set_seal(set);
	return NULL;
}

static struct usp_error *check_registers(struct plan *plan, const struct payload_image *image,
					 const struct range_set *replaced)
{
	const struct payload *payload = plan->payload;
	const uint8_t *text = image->bytes + (image->text_start - image->base);
	size_t text_size = image->text_end - image->text_start;
	for (size_t i = 0; i < payload->n_functions; i++) {
		const struct payload_function *function = &payload->functions[i];
		if (function->is_nop || function->has_witness)
			continue;
		uint64_t entry =
			payload_image_address(payload, image, function->replacement) - image->text_start;
		clobber_set fresh;
		struct usp_error *error =
			clobber_of_code(text, text_size, entry, function->replacement_size, &fresh);
		if (!error)
			error = clobber_check_among(
				plan->module, plan->functions[i].old_address - plan->module->bias,
				plan->functions[i].old_size, plan->functions[i].name, fresh, replaced);
		if (error)
			return usp_error_prefix(error, "function %s", plan->functions[i].name);
	}
	return NULL;
}

struct usp_error *plan_build_image(struct session *session, struct plan *plan, uint64_t base,
				   struct remote *remote, struct payload_image **ret)
{
	struct resolve_context context = {session, plan, remote};
	*ret = NULL;
	struct usp_error *error = payload_image_build(plan->payload, base, resolve, &context, ret);
	struct range_set replaced = {0};
	if (!error)
		error = replaced_code(plan, &replaced);
	if (!error)
		error = check_registers(plan, *ret, &replaced);
	range_set_deinit(&replaced);
	if (error) {
		payload_image_destroy(*ret);
		*ret = NULL;
	}
	return error;
}

struct usp_error *plan_find_place(struct session *session, const struct plan *plan, uint64_t size,
				  uint64_t *base)
{
	*base = maps_find_gap(&session->maps, plan->module->start, plan->module->end, size, REACH);
	if (*base)
		return NULL;
	return usp_errorf(USP_UNSUPPORTED,
			  "there is no free memory of %lu bytes within 2 GiB of %s in process %d", size,
			  plan->module->name, session->target->pid);
}

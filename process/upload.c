// SPDX-License-Identifier: MIT
/*
 * An upload, step by step; a controller that dies after any of them leaves what upload_recover() finds:
 *   1. the plan fits; a place near the module is chosen
 *   2. one thread is borrowed; registry and area are made if this is the first payload
 *   3. `pending` in the registry names the place
 *   4. the place is mapped (r-x), then its data part made rw- and its read-only part r--: never writable and
 * executable
 *   5. image, pads and record are written
 *   6. the table with the new entry counts (commit)
 *   7. `pending` is cleared; the thread goes on
 *   8. the target's unwinder is told
 */
#include "process/upload.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <usplice/list.h>

#include "process/host/host.h"
#include "process/displace.h"
#include "process/membarrier.h"
#include "process/pads.h"
#include "process/shadow.h"
#include "process/perfmap.h"
#include "process/unwinder.h"

#define PAGE 4096ull

static uint64_t page_up(uint64_t size)
{
	return (size + PAGE - 1) & ~(PAGE - 1);
}

/* ---- the record ---- */

static struct usp_error *fill_functions(const struct plan *plan, const struct payload_image *image,
					struct record *record)
{
	const struct payload *payload = plan->payload;
	record->n_functions = payload->n_functions;
	record->functions = calloc(payload->n_functions + 1, sizeof(*record->functions));
	if (!record->functions)
		return &usp_error_no_memory;
	for (size_t i = 0; i < payload->n_functions; i++) {
		const struct payload_function *from = &payload->functions[i];
		const struct plan_function *fit = &plan->functions[i];
		struct record_function *to = &record->functions[i];
		*to = (struct record_function){
			.name = fit->name,
			.file = from->file,
			.old_address = fit->old_address,
			.old_size = fit->old_size,
			.site = fit->site,
			.site_length = fit->site_length,
			.ranges = fit->ranges.v,
			.n_ranges = fit->ranges.n,
		};
		memcpy(to->original, fit->original, sizeof(to->original));
		if (from->is_nop) {
			/* One-byte NOPs: a jump to any of the old instructions still lands on an instruction.
			 */
			memset(to->patched, 0x90, fit->site_length);
			continue;
		}
		to->new_address = payload_image_address(payload, image, from->replacement);
		to->new_size = from->replacement_size;
		if (arch_x86_64.encode_jump(fit->site, to->new_address, to->patched) < 0)
			return usp_errorf(USP_UNSUPPORTED,
					  "function %s: a jump from 0x%lx to 0x%lx does not reach", fit->name,
					  fit->site, to->new_address);
	}
	return NULL;
}

static struct usp_error *fill_record(const struct plan *plan, const struct payload_image *image,
				     struct record *record)
{
	const struct payload *payload = plan->payload;
	record->name = plan->name;
	record->version = payload->version;
	record->description = payload->description;
	record->module = plan->module->name;
	memcpy(record->build_id, payload->build_id, payload->build_id_size);
	memcpy(record->module_build_id, payload->target_build_id, payload->target_build_id_size);
	memcpy(record->depends, payload->depends, payload->depends_size);
	record->build_id_size = payload->build_id_size;
	record->module_build_id_size = payload->target_build_id_size;
	record->depends_size = payload->depends_size;
	record->writable_data = payload->has_writable_data;
	record->image_base = image->base;
	record->image_size = image->size;
	record->text_start = image->text_start;
	record->text_end = image->text_end;
	record->eh_frame = image->eh_frame;
	record->eh_frame_size = image->eh_frame_size;
	record->n_hooks = payload->n_hooks;
	record->hooks = calloc(payload->n_hooks + 1, sizeof(*record->hooks));
	if (!record->hooks)
		return &usp_error_no_memory;
	for (size_t i = 0; i < payload->n_hooks; i++)
		record->hooks[i] = (struct record_hook){
			.kind = payload->hooks[i].kind,
			.address = payload_image_address(payload, image, payload->hooks[i].place),
		};
	record->n_code = image->n_functions;
	record->code = calloc(image->n_functions + 1, sizeof(*record->code));
	if (!record->code)
		return &usp_error_no_memory;
	for (size_t i = 0; i < image->n_functions; i++)
		record->code[i] = (struct record_code){image->functions[i].name, image->functions[i].address,
						       image->functions[i].size};
	record->n_symbols = payload->n_exports;
	record->symbols = calloc(payload->n_exports + 1, sizeof(*record->symbols));
	if (!record->symbols)
		return &usp_error_no_memory;
	memcpy(record->symbols, payload->exports, payload->n_exports * sizeof(*record->symbols));
	record->n_states = payload->n_states;
	record->states = calloc(payload->n_states + 1, sizeof(*record->states));
	if (!record->states)
		return &usp_error_no_memory;
	for (size_t i = 0; i < payload->n_states; i++)
		record->states[i] =
			(struct record_state){payload->states[i].name, payload->states[i].version};
	return fill_functions(plan, image, record);
}

static void release_record(struct record *record)
{
	free(record->states);
	free(record->symbols);
	free(record->code);
	free(record->functions);
	free(record->hooks);
}

/* ---- the mapping: image, then pads, then the unwinder's object, then the record ---- */

static struct usp_error *unmap(struct remote *remote, uint64_t base, uint64_t size)
{
	int64_t result;
	return remote_syscall_ok(remote, "munmap", SYS_munmap, (const uint64_t[6]){base, size}, &result);
}

static struct usp_error *protect(struct remote *remote, uint64_t at, uint64_t size, int prot)
{
	int64_t result;
	return remote_syscall_ok(remote, "mprotect", SYS_mprotect,
				 (const uint64_t[6]){at, size, (uint64_t)prot}, &result);
}

static struct usp_error *map(struct remote *remote, const struct payload_image *image, uint64_t pads_size,
			     uint64_t size)
{
	int64_t result;
	struct usp_error *error = remote_syscall_ok(
		remote, "mmap", SYS_mmap,
		(const uint64_t[6]){image->base, size, PROT_READ | PROT_EXEC,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, UINT64_MAX, 0},
		&result);
	if (error)
		return error;
	if ((uint64_t)result != image->base) {
		/* A kernel that does not know MAP_FIXED_NOREPLACE took the address as a hint. */
		error = unmap(remote, (uint64_t)result, size);
		return error ? error
			     : usp_errorf(USP_FAILED, "the kernel mapped 0x%lx instead of 0x%lx",
					  (uint64_t)result, image->base);
	}
	for (int i = 0; i < PAYLOAD_SEGMENTS && !error; i++) {
		const struct payload_segment *segment = &image->segments[i];
		if (segment->size && segment->prot != (PROT_READ | PROT_EXEC))
			error = protect(remote, image->base + segment->offset, segment->size, segment->prot);
	}
	if (!error)
		error = protect(remote, image->base + image->size + pads_size, size - image->size - pads_size,
				PROT_READ | PROT_WRITE);
	return error;
}

static struct usp_error *write_all(const struct target *target, const struct payload_image *image,
				   const struct pads *pads, const uint8_t *record, size_t record_size)
{
	uint64_t at = image->base + image->size;
	int r = remote_write(target, image->base, image->bytes, image->size);
	if (r >= 0 && pads->size)
		r = remote_write(target, at, pads->bytes, pads->size);
	if (r >= 0)
		r = remote_write(target, at + pads->size + UNWINDER_OBJECT_SIZE, record, record_size);
	return r < 0 ? usp_error_errno(USP_FAILED, -r, "cannot write the payload's image") : NULL;
}

static uint64_t next_order(const struct registry *registry)
{
	uint64_t order = 0;
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		if (registry->records[i] && registry->entries[i].order > order)
			order = registry->entries[i].order;
	return order + 1;
}

/* Steps 3 to 7, with the thread borrowed. */
static struct usp_error *place(struct session *session, struct remote *remote,
			       const struct payload_image *image, const struct pads *pads,
			       const uint8_t *record, size_t record_size, int index)
{
	struct target *target = session->target;
	struct registry *registry = session->registry;
	uint64_t size = image->size + pads->size + page_up(UNWINDER_OBJECT_SIZE + record_size);
	struct usp_error *error = registry_set_pending(target, registry, image->base, size);
	if (error)
		return error;
	error = map(remote, image, pads->size, size);
	if (!error)
		error = write_all(target, image, pads, record, record_size);
	if (!error)
		error = record_unpack(record, record_size, &registry->records[index]);
	if (!error) {
		registry->entries[index] = (struct registry_entry){
			.record = image->base + image->size + pads->size + UNWINDER_OBJECT_SIZE,
			.record_size = record_size,
			.base = image->base,
			.size = size,
			.state = USP_STATE_CHECKED,
			.last_action = REGISTRY_UPLOAD,
			.last_result = USP_OK,
			.order = next_order(registry),
		};
		error = registry_commit(target, registry);
	}
	if (error) {
		record_destroy(registry->records[index]);
		registry->records[index] = NULL;
		registry->entries[index] = (struct registry_entry){0};
		/* MAP_FIXED_NOREPLACE may have refused: then nothing of ours is there and upload_recover()
		 * sees that. */
		struct usp_error *clean = session_refresh_maps(session);
		if (!clean)
			clean = upload_recover(session, remote);
		usp_error_destroy(clean);
		return error;
	}
	return registry_set_pending(target, registry, 0, 0);
}

/* ---- the whole ---- */

static struct usp_error *check_with_engine(struct session *session, struct record *record,
					   struct module *module)
{
	struct host *host;
	struct usp_error *error = host_create(session, &host);
	if (error)
		return error;
	struct host_payload *payload;
	struct action_report report;
	host->module = module;
	error = host_add(host, record, &payload);
	if (!error)
		error = host_room(host);
	if (!error && action_upload(&host->engine, &payload->engine, &report) < 0)
		error = host_report(host, &report);
	host_destroy(host);
	return error;
}

static struct usp_error *build_and_place(struct session *session, struct plan *plan, uint64_t base,
					 struct remote *remote, int *index)
{
	struct payload_image *image = NULL;
	struct record record = {0};
	struct pads pads = {0};
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	struct usp_error *error = plan_build_image(session, plan, base, remote, &image);
	if (!error)
		error = fill_record(plan, image, &record);
	if (!error)
		error = pads_make(session->target, &record, &pads);
	if (!error)
		error = check_with_engine(session, &record, plan->module);
	if (!error && remote) {
		error = record_pack(&record, &bytes, &size);
		*index = registry_find_free(session->registry);
		if (!error)
			error = place(session, remote, image, &pads, bytes, size, *index);
	}
	release_record(&record);
	pads_deinit(&pads);
	payload_image_destroy(image);
	return error;
}

/* Room for image and record; the record is estimated from above. */
static struct usp_error *find_place(struct session *session, struct plan *plan, uint64_t *base)
{
	uint64_t size;
	struct usp_error *error = payload_image_size(plan->payload, &size);
	if (error)
		return error;
	return plan_find_place(session, plan,
			       size + page_up(plan->payload->n_functions * (4096 + DISPLACE_MAX) + 2 * PAGE),
			       base);
}

static struct usp_error *tell_unwinder(struct session *session, int index)
{
	struct registry_entry *entry = &session->registry->entries[index];
	const struct record *record = session->registry->records[index];
	enum usp_unwind unwind = USP_UNWIND_NONE;
	struct usp_error *error = NULL;
	uint64_t object = record->image_base + record->image_size + record->pads_size;
	if (record->eh_frame)
		error = unwinder_register(session, record->eh_frame, object, &unwind);
	if (error)
		return error;
	entry->unwind = unwind;
	entry->unwind_object = unwind == USP_UNWIND_REGISTERED ? object : 0;
	return registry_commit(session->target, session->registry);
}

struct usp_error *upload(struct session *session, struct plan *plan, int *index)
{
	uint64_t base;
	*index = -1;
	struct usp_error *error = plan_take_error(plan);
	if (!error)
		error = find_place(session, plan, &base);
	if (error)
		return error;
	if (session->options.dry_run)
		return build_and_place(session, plan, base, NULL, index);

	struct remote *remote = NULL;
	struct remote_area area = session->registry->header.area;
	error = remote_open(session->target, &session->maps, NULL, &area, NULL, NULL, &remote);
	if (!error)
		error = session_need_registry(session, remote, &area);
	if (!error)
		error = membarrier_register(remote);
	if (!error && plan->payload->needs_shadow)
		error = shadow_need(session, remote, plan);
	if (!error)
		error = find_place(session, plan, &base);
	if (!error)
		error = build_and_place(session, plan, base, remote, index);
	struct usp_error *close_error = remote_close(remote);
	if (error) {
		usp_error_destroy(close_error);
		return error;
	}
	if (close_error)
		return close_error;
	error = session_refresh_maps(session);
	if (!error)
		error = tell_unwinder(session, *index);
	if (error) {
		usp_error_destroy(upload_remove(session, *index));
		*index = -1;
		return error;
	}
	perfmap_update(session);
	return NULL;
}

/* ---- out again ---- */

/*
 * Whether everything mapped in [base, base + size) is usplice's: anonymous, private, and reaching from the
 * first to the last page without a foreign part. An address that a killed controller never got to map may
 * have become somebody else's: that shows as other bounds or a file.
 */
static bool is_ours(const struct maps *maps, uint64_t base, uint64_t size)
{
	uint64_t at = base;
	while (at < base + size) {
		const struct mapping *mapping = maps_find(maps, at);
		if (!mapping || mapping->start != at || mapping->end > base + size || mapping->inode ||
		    mapping->shared)
			return false;
		at = mapping->end;
	}
	return true;
}

static struct usp_error *unmap_pending(struct session *session, struct remote *remote)
{
	const struct registry_header *header = &session->registry->header;
	if (is_ours(&session->maps, header->pending, header->pending_size)) {
		struct usp_error *error = unmap(remote, header->pending, header->pending_size);
		if (error)
			return error;
	}
	return registry_set_pending(session->target, session->registry, 0, 0);
}

static bool is_live(const struct registry *registry, uint64_t base)
{
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		if (registry->records[i] && registry->entries[i].base == base)
			return true;
	return false;
}

struct usp_error *upload_recover(struct session *session, struct remote *remote)
{
	struct registry *registry = session->registry;
	if (!registry->address || !registry->header.pending)
		return NULL;
	/* Killed between the commit and the clearing (upload), or before the commit (unload): it is in use.
	 */
	if (is_live(registry, registry->header.pending) ||
	    registry->header.pending == registry->header.shadow)
		return registry_set_pending(session->target, registry, 0, 0);
	struct usp_error *error;
	if (remote) {
		error = unmap_pending(session, remote);
	} else {
		error = remote_open(session->target, &session->maps, NULL, &registry->header.area, NULL, NULL,
				    &remote);
		if (!error)
			error = unmap_pending(session, remote);
		struct usp_error *close_error = remote_close(remote);
		if (!error)
			error = close_error;
		else
			usp_error_destroy(close_error);
	}
	if (error)
		return usp_error_prefix(error, "giving back memory that an interrupted action left");
	return session_refresh_maps(session);
}

/* The order is that of an upload, backwards: unwinder, pending, commit, unmap, pending cleared. */
struct usp_error *upload_remove(struct session *session, int index)
{
	struct registry *registry = session->registry;
	struct registry_entry *entry = &registry->entries[index];
	if (entry->unwind == USP_UNWIND_REGISTERED) {
		struct usp_error *error = unwinder_deregister(session, registry->records[index]->eh_frame);
		if (error)
			return error;
		entry->unwind = USP_UNWIND_NONE;
		error = registry_commit(session->target, registry);
		if (error)
			return error;
	}
	struct usp_error *error = registry_set_pending(session->target, registry, entry->base, entry->size);
	if (error)
		return error;
	struct record *record = registry->records[index];
	struct registry_entry kept = *entry;
	registry->records[index] = NULL;
	*entry = (struct registry_entry){0};
	error = registry_commit(session->target, registry);
	if (error) {
		registry->records[index] = record;
		*entry = kept;
		return error;
	}
	record_destroy(record);
	error = upload_recover(session, NULL);
	perfmap_update(session);
	return error;
}
